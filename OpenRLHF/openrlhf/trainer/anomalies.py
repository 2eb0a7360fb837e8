"""Training that goes wrong, seen in the figures of its steps: what is no number, collapses, explodes or drifts."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

WINDOW = 10  # steps that are remembered
ENOUGH = 3  # figures before a new one is compared with them
_RARE, _RARE_STEPS = 0.01, 3  # a kept share that counts as none, and for how long
_DRIFT = 0.2  # by which hinted accuracy may lie below its best, and half of it twice in a row

Past = Sequence[float]


@dataclass(frozen=True)
class Rule:
    """metric: as it is logged. means: what a user should think of. holds: of a value and those of earlier steps."""

    metric: str
    means: str
    holds: Callable[[float, Past], bool]


def _leaves(low: float, high: float, least: float = 0.0) -> Callable[[float, Past], bool]:
    """Below `low` or above `high` times the median of the past; medians below `least` count as `least`."""

    def holds(value: float, past: Past) -> bool:
        if len(past) < ENOUGH:
            return False
        usual = max(median(past), least)
        return value < low * usual or value > high * usual

    return holds


def _no_number(value: float, past: Past) -> bool:
    return not math.isfinite(value)


def _rare(value: float, past: Past) -> bool:
    latest = [*past, value][-_RARE_STEPS:]
    return len(latest) == _RARE_STEPS and max(latest) < _RARE


def _drifted(value: float, past: Past) -> bool:
    best = max(past, default=-math.inf)
    return value < best - _DRIFT or max(value, past[-1] if past else value) < best - _DRIFT / 2


_BROKEN = tuple(
    Rule(f"train/{name}", "no number", _no_number)
    for name in ("policy_loss", "grad_norm", "critic_loss", "critic_grad_norm")
)
RULES = (
    *_BROKEN,
    Rule("train/entropy", "the policy collapses or dissolves", _leaves(0.2, 5.0)),
    Rule("train/response_length", "responses collapse or explode", _leaves(0.25, 4.0)),
    Rule("train/kl", "the policy leaves the reference", _leaves(-math.inf, 10.0, 0.01)),
    Rule("train/kl_posterior", "policy and posterior part", _leaves(-math.inf, 10.0, 0.01)),
    Rule("train/engine_gap_mean", "weights may not have reached the engines", _leaves(-math.inf, 10.0, 1e-3)),
    Rule("train/hinted_accuracy", "policy and posterior drift together", _drifted),
    Rule("train/kept_share", "almost nothing is trained on", _rare),
)


def broken(metrics: Mapping[str, float]) -> bool:
    """Whether the updates of this step made weights that are no numbers."""
    return any(rule.holds(metrics[rule.metric], ()) for rule in _BROKEN if rule.metric in metrics)


class AnomalyWatch:
    """Remembers the figures of the latest steps. Those of a step with an anomaly are not remembered, so that a collapse
    does not become what is usual."""

    def __init__(self) -> None:
        self._past: dict[str, list[float]] = {}

    def look(self, metrics: Mapping[str, float]) -> list[str]:
        """What is wrong with this step, a clause each; [] where nothing is."""
        found = []
        for rule in RULES:
            value = metrics.get(rule.metric)
            if value is not None and rule.holds(value, self._past.get(rule.metric, ())):
                found.append(f"{rule.metric} {value:.4g}{self._usually(rule.metric)}: {rule.means}")
        if not found or all(clause.startswith("train/kept_share") for clause in found):
            for rule in RULES:
                value = metrics.get(rule.metric)
                if value is not None and math.isfinite(value):
                    kept = self._past.setdefault(rule.metric, [])
                    kept.append(value)
                    if rule.holds is not _drifted:  # whose best may be long ago
                        del kept[:-WINDOW]
        return found

    def _usually(self, metric: str) -> str:
        past = self._past.get(metric)
        return f" (before: {median(past):.4g})" if past else ""
