"""What changed from one run to another, over the problems that both answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openrlhf.errors import UserError
from openrlhf.evaluation.figures import metrics
from openrlhf.evaluation.figures.records import Graded
from openrlhf.evaluation.figures.results import Result, load_results


@dataclass(frozen=True)
class Comparison:
    """One set, before and after.

    difference: mean over problems of (after - before). p_value: exact McNemar test on the problems that
    flipped (with several samples per problem: whose share of right samples went up or down).
    """

    name: str
    before: metrics.Estimate
    after: metrics.Estimate
    difference: metrics.Estimate
    lost: list[tuple[Graded, Graded]]
    won: list[tuple[Graded, Graded]]
    p_value: float
    unpaired: int


def compare(a: Path, b: Path) -> list[tuple[str, str, Comparison]]:
    """(run of A, run of B, comparison) for every set that both folders hold.

    Where a folder holds several runs of a set, runs are paired by prompt type and number of samples. Raises
    UserError where nothing pairs.
    """
    before, after = load_results([a]), load_results([b])
    paired = [(x, y) for x in before for y in _partners(x, before, after)]
    if not paired:
        raise UserError(
            f"nothing to compare: {a} holds {_listed(before)}; {b} holds {_listed(after)}. "
            "The same sets are needed, with the same prompt type where there are several"
        )
    return [(x.run, y.run, compare_sets(x.name, x.problems, y.problems)) for x, y in paired]


def _partners(x: Result, before: Sequence[Result], after: Sequence[Result]) -> list[Result]:
    same_set = [y for y in after if y.name == x.name]
    if len(same_set) == 1 and sum(z.name == x.name for z in before) == 1:
        return same_set
    key = (x.settings.get("prompt_type"), x.settings.get("n_sampling"), x.settings.get("num_shots"))
    return [
        y
        for y in same_set
        if (y.settings.get("prompt_type"), y.settings.get("n_sampling"), y.settings.get("num_shots")) == key
    ]


def _listed(results: Sequence[Result]) -> str:
    return ", ".join(f"{r.name} ({r.run})" for r in results)


def compare_sets(name: str, before: Sequence[Graded], after: Sequence[Graded]) -> Comparison:
    """Pairs problems by their row and their question."""
    known = {(row.problem.index, row.problem.question): row for row in before}
    pairs = [(known[key], row) for row in after if (key := (row.problem.index, row.problem.question)) in known]
    if not pairs:
        raise UserError(f"{name}: the two runs have no problem in common")
    shares = [(_share(x), _share(y)) for x, y in pairs]
    lost = [pair for pair, (x, y) in zip(pairs, shares, strict=True) if y < x]
    won = [pair for pair, (x, y) in zip(pairs, shares, strict=True) if y > x]
    return Comparison(
        name=name,
        before=metrics.accuracy([x.right for x, _ in pairs]),
        after=metrics.accuracy([y.right for _, y in pairs]),
        difference=metrics.paired_difference([x for x, _ in shares], [y for _, y in shares]),
        lost=lost,
        won=won,
        p_value=metrics.mcnemar(len(lost), len(won)),
        unpaired=len(before) + len(after) - 2 * len(pairs),
    )


def _share(row: Graded) -> float:
    return sum(row.right) / len(row.right) if row.right else 0.0
