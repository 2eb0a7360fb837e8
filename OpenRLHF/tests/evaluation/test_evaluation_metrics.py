"""Every figure against a hand calculation, a closed form or an enumeration."""

import itertools
import math
import random
from fractions import Fraction

import pytest

from openrlhf.evaluation.figures import metrics as m


def test_wilson_interval_of_8_of_10_is_the_textbook_one():
    # Closed form with z = 1.959964: (0.8 + z²/20 ± z √(0.8·0.2/10 + z²/400)) / (1 + z²/10), computed by hand.
    low, high = m.wilson(8, 10)
    assert low == pytest.approx(0.490162, abs=1e-6)
    assert high == pytest.approx(0.943318, abs=1e-6)


def test_wilson_ends_solve_the_score_equation():
    # The ends are the p for which (p̂ - p)² = z² p (1 - p) / n: an independent characterisation.
    for successes, n in ((1, 7), (40, 500), (250, 271)):
        for p in m.wilson(successes, n):
            assert (successes / n - p) ** 2 == pytest.approx(m.Z95**2 * p * (1 - p) / n, rel=1e-9)


def test_wilson_at_the_ends_of_the_range():
    assert m.wilson(0, 20)[0] == 0.0
    assert m.wilson(20, 20)[1] == 1.0
    assert m.wilson(0, 20)[1] == pytest.approx(m.Z95**2 / (20 + m.Z95**2))
    assert m.wilson(0, 0) == (0.0, 1.0)


def test_accuracy_of_single_samples_is_the_share_with_wilsons_interval():
    estimate = m.accuracy([[True]] * 8 + [[False]] * 2)
    assert (estimate.mean, estimate.n) == (0.8, 10)
    assert (estimate.low, estimate.high) == m.wilson(8, 10)


def test_accuracy_of_several_samples_averages_over_problems():
    estimate = m.accuracy([[True, True], [True, False], [False, False], [False, False]])
    assert estimate.mean == pytest.approx((1 + 0.5 + 0 + 0) / 4)


def test_identical_samples_of_a_problem_do_not_narrow_the_interval():
    once = m.accuracy([[True]] * 6 + [[False]] * 14)
    eight_times = m.accuracy([[True] * 8] * 6 + [[False] * 8] * 14)
    # n - 1 instead of n in the variance makes the effective size 19 instead of 20.
    assert (eight_times.low, eight_times.high) == pytest.approx(m.wilson(0.3 * 19, 19))
    assert eight_times.high - eight_times.low >= once.high - once.low


def test_independent_samples_of_a_problem_do_narrow_the_interval():
    rng = random.Random(0)
    rows = [[rng.random() < 0.4 for _ in range(16)] for _ in range(60)]
    many, one = m.accuracy(rows), m.accuracy([row[:1] for row in rows])
    assert many.high - many.low < 0.5 * (one.high - one.low)


def test_accuracy_of_nothing_says_nothing():
    assert m.accuracy([]) == m.Estimate(0.0, 0.0, 1.0, 0)


@pytest.mark.parametrize(("samples", "right"), [(1, 0), (1, 1), (5, 2), (8, 3), (10, 10), (7, 0)])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample(samples, right):
    outcomes = [True] * right + [False] * (samples - right)
    for k in range(1, samples + 1):
        subsets = list(itertools.combinations(outcomes, k))
        enumerated = Fraction(sum(map(any, subsets)), len(subsets))
        assert m.pass_at_k(samples, right, k) == pytest.approx(float(enumerated))


def test_pass_at_k_needs_k_samples():
    with pytest.raises(ValueError, match="k <= samples"):
        m.pass_at_k(4, 1, 5)


def test_mean_pass_at_k_by_hand():
    # Two samples each: both right, one right, none: pass@1 = 1, 1/2, 0 and pass@2 = 1, 1, 0.
    right = [[True, True], [False, True], [False, False]]
    assert m.mean_pass_at_k(right, 1).mean == pytest.approx(0.5)
    assert m.mean_pass_at_k(right, 2).mean == pytest.approx(2 / 3)


def test_the_interval_of_shares_is_wilsons_at_the_size_that_their_spread_means():
    # Shares 1, 1/2, 0 and 1/2: mean 1/2, squared error (1/4 + 1/4) / 3 / 4 = 1/24, size (1/4) / (1/24) = 6.
    estimate = m.mean_share([1, 0.5, 0, 0.5], samples=8)
    assert (estimate.low, estimate.high) == pytest.approx(m.wilson(3, 6))
    # Without any spread the size is the number of samples.
    alike = m.mean_share([0.5] * 4, samples=8)
    assert (alike.low, alike.high) == pytest.approx(m.wilson(4, 8))


def test_ks_are_powers_of_two_and_the_number_of_samples():
    assert m.reported_ks(1) == [1]
    assert m.reported_ks(8) == [1, 2, 4, 8]
    assert m.reported_ks(10) == [1, 2, 4, 8, 10]


def same_number(a, b):
    return Fraction(a) == Fraction(b)


@pytest.mark.parametrize(
    ("answers", "right", "expected"),
    [
        (["5", "5", "7"], [True, True, False], 1.0),  # 2 against 1
        (["5", "7", "7"], [True, False, False], 0.0),  # 1 against 2
        (["5", "7"], [True, False], 0.5),  # a tie of two
        (["5", "7", "8"], [True, False, False], 1 / 3),  # a tie of three
        (["7", "7", "8"], [False, False, False], 0.0),  # nothing right
        (["5", None, None], [True, False, False], 1.0),  # no answer, no vote
        ([None, None], [False, False], 0.0),
        (
            ["5", "10/2", "7", "7"],
            [True, True, False, False],
            0.5,
        ),  # two spellings of the right one, one group
        (["5", "5", "1/2", "0.5", "2/4"], [True, True, False, False, False], 0.0),  # three spellings outvote
        (["5", "5", "1/2", "0.5", "3"], [True, True, False, False, False], 0.5),  # two spellings tie
    ],
)
def test_votes_are_counted_by_equivalence(answers, right, expected):
    assert m.majority_is_right(answers, right, same_number) == pytest.approx(expected)


def test_votes_agree_with_counting_every_pair():
    rng = random.Random(1)
    spellings = {"5": ["5", "10/2", "5.0"], "7": ["7", "14/2", "7.0"], "8": ["8", "16/2"]}
    for _ in range(300):
        values = [rng.choice(["5", "7", "8", None]) for _ in range(rng.randint(1, 9))]
        answers = [rng.choice(spellings[v]) if v else None for v in values]
        right = [v == "5" for v in values]
        counts = {v: values.count(v) for v in values if v}
        best = max(counts.values(), default=0)
        winners = [v for v, count in counts.items() if count == best]
        expected = 1 / len(winners) if "5" in winners else 0.0
        assert m.majority_is_right(answers, right, same_number) == pytest.approx(expected)


def test_a_decided_vote_compares_nothing():
    def never(a, b):
        raise AssertionError(f"compared {a} with {b}")

    assert m.vote_needs_comparison(["5"] * 5 + ["7", "8", "9"], [True] * 5 + [False] * 3) == []
    assert m.majority_is_right(["5"] * 5 + ["7", "8", "9"], [True] * 5 + [False] * 3, never) == 1.0
    assert m.majority_is_right(["5", "7", "7", "8"], [True, False, False, False], never) == 0.0


def test_paired_difference_by_hand():
    # Differences 1, 0, 0, 1, -1: mean 0.2, variance (2·0.8² + 2·0.2² + 1.2²) / 4 = 0.7, error √(0.7 / 5).
    d = m.paired_difference([0, 1, 0, 0, 1], [1, 1, 0, 1, 0])
    assert d.mean == pytest.approx(0.2)
    assert d.high - d.mean == pytest.approx(m.Z95 * math.sqrt(0.14))
    assert d.low == pytest.approx(0.2 - m.Z95 * math.sqrt(0.14))


def test_paired_difference_needs_the_same_problems():
    with pytest.raises(ValueError, match="same problems"):
        m.paired_difference([0, 1], [1])


@pytest.mark.parametrize(
    ("lost", "won", "p"),
    [(0, 0, 1.0), (1, 1, 1.0), (0, 1, 1.0), (0, 5, 2 / 32), (2, 8, 2 * 56 / 1024), (10, 1, 2 * 12 / 2048)],
)
def test_mcnemar_is_the_two_sided_binomial_test(lost, won, p):
    # 56 = 1 + 10 + 45, 12 = 1 + 11: binomial coefficients up to the smaller count.
    assert m.mcnemar(lost, won) == pytest.approx(p)
    assert m.mcnemar(won, lost) == pytest.approx(p)


def test_percentiles_interpolate_between_order_statistics():
    values = [40, 10, 30, 20]
    assert m.percentile(values, 0.5) == 25
    assert m.percentile(values, 0) == 10
    assert m.percentile(values, 1) == 40
    assert m.percentile(values, 0.9) == pytest.approx(37)
