"""What the loops remember between steps; saved with every checkpoint. Imports nothing heavy."""

from dataclasses import dataclass, field


@dataclass
class TrainerState:
    """Of reinforcement learning.

    step: rollout batches done. optimizer_steps: moves the schedule, also for batches without anything to train on.
    kl_coef: the present weight of KL, which --kl_target moves. rollbacks: how often --on_anomaly took steps back; each
    halves the rates. run: whose checkpoints these are.
    """

    step: int = 0
    optimizer_steps: int = 0
    skipped_steps: int = 0
    consumed_samples: int = 0
    kl_coef: float = 0.0
    rollbacks: int = 0
    sampler: dict[str, int] = field(default_factory=dict)
    run: str = ""


@dataclass
class OfflineState:
    """Of training on fixed data.

    step: optimiser steps done. running: means (0.9 old, 0.1 new) of the loss and the objective's running_means.
    run: whose checkpoints these are.
    """

    step: int = 0
    running: dict[str, float] = field(default_factory=dict)
    sampler: dict[str, int] = field(default_factory=dict)
    run: str = ""
