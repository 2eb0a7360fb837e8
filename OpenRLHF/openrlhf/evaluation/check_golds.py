r"""Reads the gold of every row of every set at hand and grades it against itself.

The gold is put into a box, as a model would, so that extraction is checked as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from openrlhf.config.evaluation import GradingConfig, QuestionsConfig
from openrlhf.errors import UserError
from openrlhf.evaluation.figures.scoring import Grader
from openrlhf.evaluation.questions import sources
from openrlhf.evaluation.questions.benchmarks import BENCHMARKS, benchmark
from openrlhf.evaluation.questions.problems import AnswerKind, Problem
from openrlhf.evaluation.questions.selection import find_sets
from openrlhf.grading import GradingPool

ENOUGH = 0.999


@dataclass(frozen=True)
class Checked:
    """One set: how many rows have a gold that equals itself, and why the others do not."""

    name: str
    rows: int
    expected_rows: int | None
    exceptions: list[tuple[int, str]]


def check_golds(questions: QuestionsConfig, grading: GradingConfig) -> int:
    """Exit status 0 where at least 99.9% of all rows have a gold that equals itself.

    Without --data_names every set at hand is checked.
    """
    names = questions.names
    if questions.is_default:
        names = sources.local_names(questions.data_dir, questions.split)
        print_absent(set(BENCHMARKS) - set(names))
    found = find_sets(names, questions.data_dir, questions.split)
    if not found:
        raise UserError(f"no benchmark under {questions.data_dir}; give the folder of the data as --data_dir")
    with GradingPool(grading.grading_workers, grading.grading_timeout) as pool:
        checked = [check(set_, pool) for set_ in found]
    return report(checked)


def print_absent(names: set[str]) -> None:
    if names:
        print(f"not at hand, not checked: {', '.join(sorted(names))}")


def check(found: sources.Found, pool: GradingPool) -> Checked:
    entry = benchmark(found.name)
    grader = Grader(entry, "none", pool)
    exceptions = [(p.index, reason) for p in found.problems if (reason := _unreadable(p))]
    usable = [p for p in found.problems if not _unreadable(p)]
    responses = [[rf"The answer is $\boxed{{{p.gold}}}$."] for p in usable]
    for problem, (scored,) in zip(usable, grader.score(usable, responses), strict=True):
        if not scored.right:
            reason = f"{problem.gold!r} in a box was read as {scored.answer!r} and compared by {scored.how}"
            exceptions.append((problem.index, reason))
    return Checked(found.name, len(found.problems), entry.rows, sorted(exceptions))


def _unreadable(problem: Problem) -> str:
    if not problem.gold.strip():
        return "no gold in the row"
    if not problem.question.strip():
        return "no question in the row"
    letters = problem.gold.isascii() and problem.gold.isalpha() and problem.gold.isupper()
    if problem.kind is not AnswerKind.MATH and not letters:
        return f"the gold of a choice is {problem.gold!r}, not letters"
    return ""


def report(checked: Sequence[Checked]) -> int:
    print(f"{'set':18} {'rows':>6} {'expected':>8} {'read and equal':>14}")
    for set_ in checked:
        expected = "" if set_.expected_rows is None else str(set_.expected_rows)
        print(f"{set_.name:18} {set_.rows:6} {expected:>8} {set_.rows - len(set_.exceptions):14}")
    rows = sum(set_.rows for set_ in checked)
    good = rows - sum(len(set_.exceptions) for set_ in checked)
    print(f"{'all':18} {rows:6} {'':8} {good:14}  ({100 * good / rows:.3f}%, {100 * ENOUGH:.1f}% wanted)")
    for set_ in checked:
        for index, reason in set_.exceptions:
            print(f"  {set_.name}, row {index}: {reason}")
    return 0 if good >= ENOUGH * rows else 1
