"""What has to hold for every answer, tried on all of MATH where it is at hand and on the table elsewhere."""

import re
from itertools import pairwise

import pytest
from labelled import labelled_pairs

GOLDS = sorted({pair.gold for pair in labelled_pairs() if pair.equal})
# Pairs of neighbouring answers of MATH that are spelled differently and are equal: looked at one by one.
EQUAL_NEIGHBOURS = {
    (r"\dfrac34", r"\frac{3}{4}"),
    (r"\frac{3}{4}", r"\frac34"),
    ("10", "10.00"),
    ("255", "1103_6"),
    ("56", r"0.56 = 56\%"),
    (r"120^\circ", "120"),
    ("2340", r"\mathbf{2340}"),
    (r"7\%", "7"),
}


# What the gold has and the prediction may leave out, but not add: a percent sign, a bracket, names that order; and
# a small letter may choose an option, while a gold in small letters is a variable.
ONE_WAY = {
    (r"0.28\%", "0.28"),
    ("a", "A"),
    ("b", "B"),
    (r"0.75\%", "0.75"),
    (r"\frac{1}{3}\%", r"\frac{1}{3}"),
    ("(2,900)", "$2,900$"),
    ("2, 3", r"3 \text{ cats}, 2 \text{ dogs}"),
}


def _unequal(pool, pairs):
    return [pair for pair, verdict in zip(pairs, pool.grade_batch(pairs), strict=True) if not verdict.equal]


def _respelled(answer: str) -> list[str]:
    spellings = [f"${answer}$", f" {answer} ", rf"\({answer}\)", rf"\boxed{{{answer}}}"]
    spellings.append(answer.replace(r"\frac", r"\dfrac"))
    spellings.append(answer.replace(r"\dfrac", r"\tfrac"))
    spellings.append(re.sub(r"\\(?:left|right)(?![A-Za-z])", "", answer))
    if r"\left" not in answer and answer.count("(") == answer.count(")") == 1:
        spellings.append(answer.replace("(", r"\left(").replace(")", r"\right)"))
    spellings.append(answer.replace("+", " + ").replace(",", ", ") if "{,}" not in answer else answer)
    return [spelling for spelling in spellings if spelling != answer]


def test_every_gold_equals_itself(pool):
    assert _unequal(pool, [(gold, gold) for gold in GOLDS]) == []


def test_spacing_sizes_and_delimiters_change_nothing(pool):
    assert _unequal(pool, [(spelling, gold) for gold in GOLDS for spelling in _respelled(gold)]) == []


def test_equality_is_symmetric(pool):
    pairs = [(pair.prediction, pair.gold) for pair in labelled_pairs()]
    forward = pool.grade_batch(pairs)
    backward = pool.grade_batch([(gold, prediction) for prediction, gold in pairs])
    verdicts = zip(pairs, forward, backward, strict=True)
    assert {pair for pair, one, other in verdicts if one.equal != other.equal} == ONE_WAY


def test_every_answer_of_math_equals_itself(pool, math_answers):
    assert len(math_answers) == 12_498
    assert _unequal(pool, [(answer, answer) for answer in math_answers]) == []


def test_every_answer_of_math_may_be_respelled(pool, math_answers):
    answers = sorted(set(math_answers))
    pairs = [(spelling, answer) for answer in answers for spelling in _respelled(answer)]
    assert _unequal(pool, pairs) == []


def test_almost_no_answer_of_math_equals_the_next_one(pool, math_answers):
    pairs = [(a, b) for a, b in pairwise(math_answers) if a != b]
    equal = {pair for pair, verdict in zip(pairs, pool.grade_batch(pairs), strict=True) if verdict.equal}
    assert equal == EQUAL_NEIGHBOURS


@pytest.mark.parametrize("nothing", ["", " ", "$$", r"\boxed{}", r"\text{}", ".", r"\left(\right)"])
def test_an_empty_answer_equals_nothing_not_even_itself(pool, nothing):
    assert not pool.submit(nothing, nothing).result().equal
    assert not pool.submit(nothing, "5").result().equal
    assert not pool.submit("5", nothing).result().equal
