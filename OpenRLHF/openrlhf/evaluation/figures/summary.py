"""The figures of one set: the reference's names, ours beside them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openrlhf.evaluation.figures import metrics
from openrlhf.evaluation.figures.records import Graded


def summarize(graded: Sequence[Graded], seconds: float, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `…_metrics.json` holds. Shares are between 0 and 1, except the reference's acc and type_acc
    (percent).

    Where a problem has several samples, acc is the mean over all of them (avg@k), not over the first ones.
    """
    scored = [s for row in graded for s in row.scored]
    right = [row.right for row in graded]
    overall = metrics.accuracy(right)
    k = min((len(row) for row in right), default=0)
    passes = {str(i): metrics.mean_pass_at_k(right, i) for i in metrics.reported_ks(k)} if k else {}
    majority = metrics.mean_share([row.majority for row in graded])
    by_subject = _by(graded, lambda row: row.problem.subject)
    return {
        "num_samples": len(graded),
        "num_scores": len(scored),
        "timeout_samples": sum(s.how == "timeout" for s in scored),
        "empty_samples": sum(s.answer is None for s in scored),
        "acc": _percent(overall.mean),
        "type_acc": {name: _percent(group["mean"]) for name, group in by_subject.items()},
        "time_use_in_second": round(seconds, 3),
        "accuracy": overall.as_dict(),
        "samples_per_problem": k,
        "avg@k": overall.mean,
        "pass@k": {i: estimate.mean for i, estimate in passes.items()},
        "maj@k": majority.mean,
        "intervals": {
            "maj@k": majority.as_dict(),
            "pass@k": {i: estimate.as_dict() for i, estimate in passes.items()},
        },
        "by_level": _by(graded, lambda row: row.problem.level),
        "by_subject": by_subject,
        "by_source": _by(graded, lambda row: row.problem.source),
        **_shares(graded),
        "settings": dict(settings),
    }


def _shares(graded: Sequence[Graded]) -> dict[str, Any]:
    samples = [s for row in graded for s in row.samples]
    scored = [s for row in graded for s in row.scored]
    lengths = [s.tokens for s in samples if s.tokens is not None]
    known = [s for s in samples if s.finish_reason != "unknown"]
    return {
        "length_mean": _mean(lengths),
        "length": {f"p{p}": metrics.percentile(lengths, p / 100) for p in (10, 50, 90, 99)} if lengths else {},
        "truncated_share": _mean([s.finish_reason == "length" for s in known]),
        "prompt_too_long_share": _mean([s.finish_reason == "prompt_too_long" for s in known]),
        "no_answer_share": _mean([s.answer is None for s in scored]),
        "boxed_share": _mean([s.boxed for s in scored]),
        "grader_timeouts": sum(s.how == "timeout" for s in scored),
        "decided_by": _counts([s.how for s in scored]),
    }


def _by(graded: Sequence[Graded], name_of: Callable[[Graded], str]) -> dict[str, Any]:
    groups: dict[str, list[list[bool]]] = {}
    for row in graded:
        if name := name_of(row):
            groups.setdefault(name, []).append(row.right)
    return {name: metrics.accuracy(groups[name]).as_dict() for name in sorted(groups)}


def _counts(values: Sequence[str]) -> dict[str, int]:
    return {value: values.count(value) for value in sorted(set(values))}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _percent(share: float) -> float:
    return round(100 * share, 1)
