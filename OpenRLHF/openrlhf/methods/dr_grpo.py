"""Dr. GRPO (Liu et al. 2025): no standard deviation, and a constant in place of each response's length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from openrlhf.config.reinforcement import RLConfig
from openrlhf.methods.policy_gradient import PolicyGradient


@dataclass(frozen=True)
class DrGRPO(PolicyGradient):
    name: ClassVar[str] = "dr_grpo"
    title: ClassVar[str] = "Dr. GRPO"
    needs_groups: ClassVar[bool] = True

    def compared(self, rewards: list[float]) -> list[float]:
        from openrlhf.objectives.advantages import compared, mean_baseline

        return compared(rewards, mean_baseline)

    def weights(self, lengths: Sequence[int], config: RLConfig) -> list[float]:
        """Divides by the longest response that is allowed, so that long wrong answers are not cheaper than short
        ones."""
        return [1.0 / (len(lengths) * config.rollout.generate_max_len)] * len(lengths)
