"""REINFORCE++-baseline (Hu 2025): the baseline is the mean of the group, then advantages are normalised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from openrlhf.methods.policy_gradient import PolicyGradient


@dataclass(frozen=True)
class ReinforceBaseline(PolicyGradient):
    name: ClassVar[str] = "reinforce_baseline"
    title: ClassVar[str] = "REINFORCE++-baseline"
    in_openrlhf: ClassVar[bool] = True
    needs_groups: ClassVar[bool] = True
    normalises: ClassVar[bool] = True

    def compared(self, rewards: list[float]) -> list[float]:
        from openrlhf.objectives.advantages import compared, mean_baseline

        return compared(rewards, mean_baseline)
