"""The demo's problems: answers against independent arithmetic, steps that are true, near misses that are wrong."""

import operator
import re
from fractions import Fraction
from math import gcd
from random import Random

import pytest

from openrlhf.demo.problems import FAMILIES, LEVELS, Problem, near_miss

OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


def solve(text: str) -> Fraction:
    """The answer, worked out from the statement alone."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    if text.startswith("What is $"):
        return Fraction(sum(numbers))
    if text.startswith("Compute"):
        return Fraction(numbers[0] * numbers[1])
    if text.startswith("Solve"):
        factor, shift, right = numbers
        return Fraction(right, factor) + (shift if "x-" in text else -shift)
    if text.startswith("Find"):
        return Fraction(gcd(*numbers))
    if text.startswith("What is the remainder"):
        return Fraction(numbers[0] % numbers[1])
    assert text.startswith("Simplify"), text
    return Fraction(numbers[0], numbers[1])


def some_problems(count: int = 60) -> list[Problem]:
    random = Random(5)
    return [family(level, random) for family in FAMILIES for level in LEVELS for _ in range(count)]


def test_every_answer_is_what_the_statement_asks_for():
    for problem in some_problems():
        assert problem.value == solve(problem.text), problem


def test_every_equation_in_the_steps_is_true():
    checked = 0
    for problem in some_problems():
        for step in problem.steps:
            left, right = step.removeprefix("x=").replace(r"\cdot", "*").split("=")
            numbers = re.fullmatch(r"\d+([+\-*/]\d+)+", left)
            assert numbers, step
            values = [Fraction(int(number)) for number in re.findall(r"\d+", left)]
            result = values[0]
            for operation, value in zip(re.findall(r"[+\-*/]", left), values[1:], strict=True):
                result = OPERATIONS[operation](result, value)
            assert result == int(right), (problem.text, step)
            checked += 1
    assert checked > 3000


def test_the_last_step_of_a_solution_reaches_the_answer():
    # Digits are assembled from several steps, and a numerator stands before its denominator.
    for problem in some_problems():
        results = [step.rsplit("=", 1)[1] for step in problem.steps]
        if problem.family in ("linear", "remainder"):
            assert results[-1] == problem.answer
        elif problem.family == "addition":
            digits = results[-1] + "".join(result[-1] for result in reversed(results[:-1]))
            assert int(digits) == problem.value
        elif problem.family == "fraction":
            assert problem.answer == rf"\frac{{{results[-2]}}}{{{results[-1]}}}"


def test_integers_are_written_as_digits_and_fractions_in_lowest_terms():
    for problem in some_problems():
        if problem.family == "fraction":
            numerator, denominator = map(int, re.fullmatch(r"\\frac{(\d+)}{(\d+)}", problem.answer).groups())
            assert gcd(numerator, denominator) == 1
            assert denominator > 1
        else:
            assert problem.answer.isdigit()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_higher_levels_have_larger_numbers(family):
    def mean(level: int) -> float:
        random = Random(0)
        numbers = [int(n) for _ in range(500) for n in re.findall(r"\d+", family(level, random).text)]
        return sum(numbers) / len(numbers)

    assert mean(5) > mean(1)


@pytest.mark.parametrize("value", [Fraction(0), Fraction(1), Fraction(12), Fraction(1, 2), Fraction(11, 9)])
def test_a_near_miss_is_wrong_positive_and_of_the_same_kind(value):
    random = Random(3)
    for _ in range(300):
        wrong = near_miss(value, random)
        assert wrong != value
        assert wrong > 0
        assert (wrong.denominator == 1) == (value.denominator == 1)
        if value.denominator == 1:
            assert abs(wrong - value) in (1, 2, 3, 10)
