"""The answer of a solution: every odd case of the real data, written anew."""

import pytest

from openrlhf.datasets.math_answers import Answer, extract_answer


def never(one: str, other: str) -> bool:
    return False


def answer(solution: str, problem: str = "What is it?", same=never) -> str | None:
    return extract_answer(problem, solution, same).text


@pytest.mark.parametrize(
    ("solution", "wanted"),
    [
        (r"So $x=\boxed{5}$.", "5"),
        (r"It is $\boxed{\frac{1}{2^{3}}}$, as said.", r"\frac{1}{2^{3}}"),
        (r"The set is $\boxed{\{1, 2\}}$.", r"\{1, 2\}"),
        (r"It is $\boxed 5$.", "5"),
        (r"It is $\boxed {17}$.", "17"),
        (r"It is \fbox{8}.", "8"),
        (r"It is $\boxed{ 3 }$.", "3"),
        (r"First $\boxed{144}$. Then the sum is $\boxed{12}$.", "12"),
        (r"So $\boxed{128} = x + y$.", "128"),
        (r"It is $\boxed{7}$, though \boxed{8 was cut off", "7"),
    ],
)
def test_the_last_complete_box_is_the_answer(solution: str, wanted: str):
    assert answer(solution) == wanted


@pytest.mark.parametrize(
    ("between", "second"),
    [
        ("$ or $", "3"),
        ("$ and $", "3"),
        ("$, or $", "3"),
        (",$ or $", "3"),
        ("$ or $t = ", "3"),
        ("$ or $g(x)=", "3"),
        (r" \text{ and } ", "3"),
        (".$ and $k = ", "3"),
    ],
)
def test_boxes_joined_by_and_or_or_form_one_answer(between: str, second: str):
    assert answer(rf"So $x = \boxed{{2}}{between}\boxed{{{second}}}$.") == "2 or 3"


def test_three_joined_boxes_form_one_answer():
    assert answer(r"$\boxed{1}$ or $\boxed{2}$ or $\boxed{3}$.") == "1 or 2 or 3"


def test_a_box_further_away_is_a_step_and_no_part_of_the_answer():
    assert answer(r"$\log_2 4=\boxed{2}$, so it is $\boxed{4}$.") == "4"
    assert answer(r"$\boxed{1}$ is a root and the other one is $\boxed{9}$.") == "9"
    assert answer(r"$\boxed{1}$ organism, $\boxed{9}$.") == "9"


@pytest.mark.parametrize(
    "problem",
    [
        "Find all possible values of $d$.",
        "Enter the angles, separated by commas.",
        "Find all real solutions.",
        "List all of them.",
    ],
)
def test_where_all_values_are_asked_for_every_box_belongs_to_the_answer(problem: str):
    solution = r"If $x>0$ then $d=\boxed{4}.$ If $x<0,$ then after some work $d=\boxed{-4}.$"
    assert answer(solution, problem) == "4, -4"
    assert answer(solution) == "-4"


def test_values_that_are_joined_and_all_asked_for_are_joined_by_or():
    assert answer(r"So $\boxed{2}$ and $\boxed{3}$.", "Find all values of $x$.") == "2 or 3"


def test_an_answer_given_twice_counts_once():
    twice = r"So $\boxed{30}$ or $\boxed{150}$. Solution 2. Again $\boxed{30}$ or $\boxed{150}$."
    assert answer(twice, "Find all values.") == "30 or 150"
    assert answer(r"$\boxed{6}$. Alternatively, $\boxed{6}$.") == "6"


def test_another_form_of_the_same_answer_replaces_the_first():
    equal = {(r"15\frac{39}{40}", r"\frac{639}{40}")}
    solution = r"It is $\boxed{15\frac{39}{40}},$ or $\boxed{\frac{639}{40}}$."
    assert answer(solution, same=lambda one, other: (one, other) in equal) == r"\frac{639}{40}"
    assert answer(solution) == r"15\frac{39}{40} or \frac{639}{40}"


@pytest.mark.parametrize(
    "remark",
    ["is also accepted as an answer.", "is also acceptable.", "is also an acceptable answer. (If so.)"],
)
def test_what_is_only_also_accepted_is_not_the_answer(remark: str):
    assert answer(rf"We find $d=\boxed{{-3}}$. Note: $\boxed{{3}}$ {remark}") == "-3"


def test_placeholders_in_boxes_are_no_answers():
    solution = r"$-3 = -7 + \boxed{\phantom{2}}.$ If the number is $\boxed{4}$, it works. $x\boxed{\ }y$"
    assert answer(solution, r"What goes into $\boxed{\phantom{2}}$?") == "4"


def test_boxes_inside_drawings_are_no_answers():
    drawing = r'[asy]label("$\boxed{" + string(n) + "}$", (0,0));[/asy]'
    assert answer(rf"Thus $\boxed{{22}}$ ways. {drawing}") == "22"
    assert answer(rf"Thus $\boxed{{22}}$ ways. {drawing.removesuffix('[/asy]')}") == "22"
    assert extract_answer("", drawing, never) == Answer(None, "no complete box")


def test_a_box_that_the_problem_defines_as_an_operator_is_no_answer():
    problem = r"Let $\boxed{N}$ mean the number of divisors of $N$. Find \[\boxed{\boxed{11}\times\boxed{20}}.\]"
    solution = (
        r"$\boxed{11}=2$ and $\boxed{20}=6$, so $\boxed{11}\times\boxed{20}=12$. Finally, $\boxed{12}=6$."
        " Therefore $6$ is our answer, not boxed as we normally do."
    )
    assert extract_answer(problem, solution, never) == Answer(None, "the box is an operator")
    assert answer(r"So the product is $12^3/12 = \boxed{144}$.", problem) == "144"


@pytest.mark.parametrize("box", [r"\boxed{}", r"\boxed{ }", r"\boxed{\phantom{0}}", r"\boxed{\,}"])
def test_an_empty_box_is_no_answer(box: str):
    assert extract_answer("", f"There are ${box}$ primes.", never) == Answer(None, "the box is empty")


@pytest.mark.parametrize("solution", ["", "The answer is 5.", r"It is $\boxed{5", r"boxed{5}", r"\boxedtext{5}"])
def test_without_a_complete_box_there_is_no_answer(solution: str):
    assert extract_answer("", solution, never) == Answer(None, "no complete box")


def test_texts_made_to_be_slow_are_answered_at_once():
    import time

    for filler in (" ", "$", "\\ ", ", ", "[asy]", "all ", "all the ", "\\phantom{", "is also ", "Level "):
        began = time.process_time()
        solution = rf"\boxed{{1}}{filler * 20_000}\boxed{{{filler * 20_000}2}}{filler * 20_000}"
        extract_answer(filler * 20_000, solution, never)
        assert time.process_time() - began < 2, filler
