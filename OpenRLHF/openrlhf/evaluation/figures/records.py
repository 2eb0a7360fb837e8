"""The lines of a finished set's file: the reference's field names, ours beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openrlhf.errors import UserError
from openrlhf.evaluation.figures.scoring import Scored
from openrlhf.evaluation.generation.store import Sample
from openrlhf.evaluation.questions.problems import AnswerKind, Problem


@dataclass(frozen=True)
class Graded:
    """One problem with its samples, all in order of their number; `majority` is 1, 0 or a share in a tie."""

    problem: Problem
    samples: Sequence[Sample]
    scored: Sequence[Scored]
    majority: float

    @property
    def right(self) -> list[bool]:
        return [s.right for s in self.scored]


def to_record(graded: Graded) -> dict[str, Any]:
    """The names idx … solution, code, pred, report and score are the reference's; the rest is ours."""
    problem = graded.problem
    return {
        "idx": problem.index,
        "question": problem.question,
        "gt_cot": problem.solution,
        "gt": problem.gold,
        "also": list(problem.also),
        "kind": problem.kind.value,
        "level": problem.level,
        "subject": problem.subject,
        "source": problem.source,
        "solution": problem.solution,
        "code": [s.text for s in graded.samples],
        "pred": [s.answer or "" for s in graded.scored],
        "report": [s.report for s in graded.samples],
        "score": graded.right,
        "how": [s.how for s in graded.scored],
        "boxed": [s.boxed for s in graded.scored],
        "tokens": [s.tokens for s in graded.samples],
        "finish_reason": [s.finish_reason for s in graded.samples],
        "majority": graded.majority,
    }


def problem_of(record: Mapping[str, Any]) -> Problem:
    """The problem of a stored line; a file of the reference, which has fewer fields, will do."""
    try:
        return Problem(
            index=int(record["idx"]),
            question=record.get("question", ""),
            gold=str(record["gt"]),
            also=tuple(record.get("also", ())),
            kind=AnswerKind(record.get("kind", "math")),
            solution=record.get("solution") or record.get("gt_cot") or "",
            level=str(record.get("level", "")),
            subject=str(record.get("subject") or record.get("type") or ""),
            source=str(record.get("source", "")),
        )
    except (KeyError, ValueError) as error:
        raise UserError(f"a stored line lacks or misstates {error}; idx, question, gt and code are needed") from error


def samples_of(record: Mapping[str, Any]) -> list[Sample]:
    """The samples of a stored line; lengths and finish reasons are unknown in a file of the reference."""
    texts = record.get("code")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"stored problem {record.get('idx')} has no list of responses in its field code")
    n = len(texts)
    tokens = record.get("tokens") or [None] * n
    reasons = record.get("finish_reason") or ["unknown"] * n
    reports = [str(r or "") for r in record.get("report") or [""] * n]
    return [Sample(*parts) for parts in zip(texts, tokens, reasons, reports, strict=True)]


def graded_of(record: Mapping[str, Any]) -> Graded:
    """A stored line with the verdicts that it holds; for reports and comparisons."""
    samples = samples_of(record)
    n = len(samples)
    predictions = record.get("pred") or [""] * n
    hows = record.get("how") or ["unknown"] * n
    boxed = record.get("boxed") or [False] * n
    right = [bool(score) for score in record.get("score") or [False] * n]
    scored = [Scored(p or None, r, h, b) for p, r, h, b in zip(predictions, right, hows, boxed, strict=True)]
    return Graded(problem_of(record), samples, scored, float(record.get("majority", right[0] if right else 0.0)))
