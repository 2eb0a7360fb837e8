"""Golds perturbed at every scale are never accepted, and no pair ends in an error."""

import random

import pytest
from labelled import labelled_pairs
from perturbed import perturbed

GOLDS = [
    "7", "-12", "0.375", "2018", r"\frac{3}{8}", r"-\frac{22}{7}", r"3\sqrt{2}", r"\frac{1+\sqrt{5}}{2}", r"12\pi",
    r"\frac{\pi}{6}", "2^{10}", r"5+\sqrt{7}", "x^2-4x+3", r"\frac{x+1}{x-2}", "3ab^2", r"\sqrt{x^2+y^2}", r"\ln 2",
    "(3, -2)", "[0, 5)", r"\{1, 4, 9\}", "y = 2x + 3", "x > 4", "13, 17", r"\frac{2 x}{\sqrt{1-x^{4}}}", "p q - 1",
]  # fmt: skip
PAIRS = [pair for gold in GOLDS for pair in perturbed(gold)]
PIECES = [
    "1", "2", "0", "-", "+", "=", "<", ",", ";", "x", "k", "n", "i", "e", r"\pi", "^", "_", "{", "}", "(", ")", "[",
    "]", r"\frac{1}{2}", r"\sqrt{2}", r"\pm", "^{-1}", "!", "|", r"\lfloor", r"\rfloor", r"\infty", r"\cup", r"\in",
    r"\mathbb{Z}", r"\{", r"\}", r"\text{ or }", r"\text{ cm}", "%", r"^\circ", r"\pmod{5}", "f(x)", r"\dots", ":",
    r"\cos", r"\log_2", r"\binom{n}{2}", "a_{i,j}", r"\bar y", "10^{-50}", "mod", " and ", "all", "positive reals",
]  # fmt: skip


def test_the_generator_makes_pairs_of_every_kind():
    kinds = {pair.kind for pair in PAIRS}
    assert {"digit", "sign", "exponent", "last term", "swallowed", "small", "floor", "factorial", "power"} <= kinds
    assert len(PAIRS) > 400


def test_no_perturbed_gold_is_accepted(pool):
    verdicts = pool.grade_batch([(pair.prediction, pair.gold) for pair in PAIRS])
    assert [pair for pair, verdict in zip(PAIRS, verdicts, strict=True) if verdict.equal] == []
    assert [pair for pair, verdict in zip(PAIRS, verdicts, strict=True) if verdict.how == "error"] == []


def test_no_pair_of_different_golds_ends_in_an_error(pool):
    chance = random.Random(12)
    golds = sorted({pair.gold for pair in labelled_pairs()})
    pairs = [(chance.choice(golds), chance.choice(golds)) for _ in range(2_000)]
    verdicts = pool.grade_batch(pairs)
    assert [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.how == "error"] == []


@pytest.mark.parametrize("seed", range(4))
def test_no_heap_of_pieces_ends_in_an_error(pool, seed):
    chance = random.Random(seed)
    heaps = ["".join(chance.choices(PIECES, k=chance.randint(1, 9))) for _ in range(600)]
    pairs = [(heap, chance.choice((heap + "+1", chance.choice(heaps), heap.replace("2", "3")))) for heap in heaps]
    verdicts = pool.grade_batch(pairs)
    assert [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.how == "error"] == []
