"""The weight of the KL term over a run: fixed, or adapted towards a target of KL (Ziegler et al. 2019, §2.2)."""

HORIZON = 10_000
LARGEST_ERROR = 0.2


def adapted(coef: float, kl: float, target: float | None, samples: int) -> float:
    """The weight for the next step.

    kl: mean KL per token of this step, in nats. target: None keeps the weight. samples: responses in this step.
    """
    if target is None:
        return coef
    error = min(max(kl / target - 1.0, -LARGEST_ERROR), LARGEST_ERROR)
    return coef * (1.0 + error * samples / HORIZON)
