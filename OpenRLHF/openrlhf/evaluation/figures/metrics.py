"""Figures about answers, as pure functions; trainer and evaluation both take them from here.

Shapes: `right` is one row per problem and one bool per sample, not necessarily as many in every row.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Z95 = 1.959963984540054  # the normal distribution's 97.5% point
Answer = TypeVar("Answer", bound=Hashable)


@dataclass(frozen=True)
class Estimate:
    """A share with its 95% interval; all three between 0 and 1 (for a difference: between -1 and 1)."""

    mean: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, float | int]:
        return {"mean": self.mean, "low": self.low, "high": self.high, "n": self.n}


def wilson(successes: float, n: float) -> tuple[float, float]:
    """Wilson's 95% interval of a share; n may be an effective sample size. (0, 1) where n is 0.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    if n <= 0:
        return 0.0, 1.0
    p = successes / n
    centre = p + Z95**2 / (2 * n)
    spread = Z95 * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n * n))
    scale = 1 + Z95**2 / n
    low = 0.0 if successes <= 0 else (centre - spread) / scale
    high = 1.0 if successes >= n else (centre + spread) / scale
    return max(low, 0.0), min(high, 1.0)


def accuracy(right: Sequence[Sequence[bool]]) -> Estimate:
    """Mean over problems of the share of right samples (avg@k), with its interval (`mean_share`)."""
    rows = [row for row in right if row]
    return mean_share([sum(row) / len(row) for row in rows], sum(len(row) for row in rows))


def mean_share(shares: Sequence[float], samples: int | None = None) -> Estimate:
    """Mean over problems of a share between 0 and 1, with an interval over problems.

    samples: how many there are in all; None for one per problem. Samples of one problem are alike, so they do
    not count as independent: Wilson's interval is taken at the sample size at which independent samples would
    vary as much as the problems' shares do (Korn and Graubard, 1998), at most `samples`. Where every share is
    0 or 1 and there is one sample per problem, that is Wilson's interval itself.
    """
    n = len(shares)
    samples = n if samples is None else samples
    if n == 0:
        return Estimate(0.0, 0.0, 1.0, 0)
    mean = sum(shares) / n
    effective = float(n)
    whole = all(share in (0, 1) for share in shares)
    if n > 1 and 0 < mean < 1 and not (whole and samples == n):
        squared_error = sum((share - mean) ** 2 for share in shares) / (n - 1) / n
        most = max(samples, n)
        effective = min(mean * (1 - mean) / squared_error, most) if squared_error > 0 else most
    return Estimate(mean, *wilson(mean * effective, effective), n)


def pass_at_k(samples: int, right: int, k: int) -> float:
    """Chance that at least one of k samples, drawn without replacement from those taken, is right; unbiased.

    1 - C(samples - right, k) / C(samples, k); Chen et al., Evaluating large language models
    trained on code (2021).
    """
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} of {samples} samples: 1 <= k <= samples is needed")
    return 1.0 - math.comb(samples - right, k) / math.comb(samples, k)


def mean_pass_at_k(right: Sequence[Sequence[bool]], k: int) -> Estimate:
    """Mean of `pass_at_k` over problems, with its interval (`mean_share`)."""
    return mean_share([pass_at_k(len(row), sum(row), k) for row in right], sum(len(row) for row in right))


def reported_ks(samples: int) -> list[int]:
    """1, 2, 4, … below the number of samples, and that number."""
    powers = [2**i for i in range(samples.bit_length()) if 2**i < samples]
    return [*powers, samples]


def vote_needs_comparison(answers: Sequence[Answer | None], right: Sequence[bool]) -> list[Answer]:
    """The distinct wrong answers whose equivalence decides the vote; empty where it is decided without.

    The right ones are equivalent to each other, being equivalent to the gold. Wrong ones matter only where,
    taken together, they could outvote the right ones and no single one of them does so yet.
    """
    votes_right = sum(right)
    wrong = [a for a, ok in zip(answers, right, strict=True) if a is not None and not ok]
    counts = {answer: wrong.count(answer) for answer in dict.fromkeys(wrong)}
    if votes_right == 0 or len(wrong) < votes_right or max(counts.values(), default=0) > votes_right:
        return []
    return list(counts) if len(counts) > 1 else []


def majority_is_right(
    answers: Sequence[Answer | None], right: Sequence[bool], equivalent: Callable[[Answer, Answer], bool]
) -> float:
    """Whether the answer with the most votes is right: 1, 0, or 1/m where m answers share the first place.

    Votes are counted by equivalence, not by spelling; samples without an answer do not vote. `equivalent` is
    asked about pairs of wrong answers only, in the order in which `vote_needs_comparison` lists them.
    """
    votes_right = sum(right)
    if votes_right == 0:
        return 0.0
    wrong = [a for a, ok in zip(answers, right, strict=True) if a is not None and not ok]
    contested = bool(vote_needs_comparison(answers, right))
    groups: list[tuple[Answer, int]] = []
    for answer in dict.fromkeys(wrong):
        same = (i for i, (first, _) in enumerate(groups) if contested and equivalent(first, answer))
        if (i := next(same, None)) is None:
            groups.append((answer, wrong.count(answer)))
        else:
            groups[i] = (groups[i][0], groups[i][1] + wrong.count(answer))
    best = max((votes for _, votes in groups), default=0)
    if best > votes_right:
        return 0.0
    return 1.0 / (1 + sum(votes == votes_right for _, votes in groups))


def paired_difference(before: Sequence[float], after: Sequence[float]) -> Estimate:
    """Mean of after - before over the same problems, with a 95% interval from the differences' own spread."""
    if len(before) != len(after):
        raise ValueError(f"{len(before)} problems before, {len(after)} after: the same problems are needed")
    n = len(before)
    if n == 0:
        return Estimate(0.0, -1.0, 1.0, 0)
    differences = [b - a for a, b in zip(before, after, strict=True)]
    mean = sum(differences) / n
    if n == 1:
        return Estimate(mean, -1.0, 1.0, 1)
    half = Z95 * math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1) / n)
    return Estimate(mean, max(mean - half, -1.0), min(mean + half, 1.0), n)


def mcnemar(lost: int, won: int) -> float:
    """Exact two-sided p-value of McNemar's test: `lost` and `won` problems flipped, each way equally likely.

    Q. McNemar (1947); the exact form is the binomial test with probability 1/2.
    """
    n = lost + won
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, i) for i in range(min(lost, won) + 1))
    return min(1.0, 2 * tail / 2**n)


def percentile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between order statistics (the usual definition); share between 0 and 1."""
    if not values:
        raise ValueError("a percentile of no values")
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
