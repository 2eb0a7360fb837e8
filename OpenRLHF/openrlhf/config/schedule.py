"""Learning-rate schedules: pure functions of the optimiser step."""

import math

from openrlhf.errors import UserError

SCHEDULES = ("cosine_with_min_lr", "cosine", "linear", "constant", "constant_with_warmup")


def warmup_steps(total_steps: int, ratio: float) -> int:
    """ceil(ratio × steps), as OpenRLHF 0.6.2 counts."""
    return math.ceil(total_steps * ratio)


def learning_rate(
    step: int,
    *,
    total_steps: int,
    warmup: int,
    peak: float,
    min_ratio: float = 0.1,
    name: str = "cosine_with_min_lr",
) -> float:
    """The rate for optimiser step `step` (from 0): linear warm-up to `peak`, then down to `peak × min_ratio`.

    The first warm-up step already trains (rate peak / warmup); the last step of the horizon uses the lowest rate.

    Raises:
        UserError: an unknown name.
    """
    if name not in SCHEDULES:
        raise UserError(f"--lr_scheduler {name} is unknown; choose one of {', '.join(SCHEDULES)}")
    if name == "constant":
        return peak
    if step < warmup:
        return peak * (step + 1) / warmup
    if name == "constant_with_warmup":
        return peak
    progress = min(1.0, (step - warmup) / max(1, total_steps - 1 - warmup))
    floor = min_ratio if name == "cosine_with_min_lr" else 0.0
    share = 1.0 - progress if name == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
    return peak * (floor + (1.0 - floor) * share)
