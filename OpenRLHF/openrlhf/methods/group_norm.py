"""GRPO (Shao et al. 2024): rewards are standardised within the group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from openrlhf.methods.policy_gradient import PolicyGradient


@dataclass(frozen=True)
class GroupNorm(PolicyGradient):
    name: ClassVar[str] = "group_norm"
    title: ClassVar[str] = "GRPO"
    in_openrlhf: ClassVar[bool] = True
    needs_groups: ClassVar[bool] = True

    def compared(self, rewards: list[float]) -> list[float]:
        from openrlhf.objectives.advantages import compared, standardised

        return compared(rewards, standardised)
