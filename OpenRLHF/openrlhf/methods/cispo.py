r"""CISPO (arXiv 2506.13585, eq. 4 and 5): the clipped ratio is a constant weight, so that no token loses its gradient.

L = − (1/N) Σ_b Σ_t min(ρ_t, c) · A_b · log π(z_t),     ρ without gradient, N the tokens of the optimiser batch
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.settings import setting
from openrlhf.methods.base import token_mean
from openrlhf.methods.group_norm import GroupNorm
from openrlhf.objectives.base import Objective
from openrlhf.objectives.policy import PolicyObjective

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class CISPO(GroupNorm):
    name: ClassVar[str] = "cispo"
    title: ClassVar[str] = "CISPO"
    in_openrlhf: ClassVar[bool] = False
    flag_prefix: ClassVar[str] = "cispo_"

    max_ratio: float = setting(5.0, "c: the probability ratio is cut above this.", more_than=0)

    def describe(self, config: Any) -> str:
        return f"CISPO: ratios up to {self.max_ratio:g} as weights"

    def weights(self, lengths: Sequence[int], config: RLConfig) -> list[float]:
        return token_mean(lengths)

    def objective(self, config: RLConfig) -> Objective:
        return CispoObjective(
            self.eps_clip, config.rollout.scored_temperature, config.kl_in_loss, max_ratio=self.max_ratio
        )


@dataclass(frozen=True)
class CispoObjective(PolicyObjective):
    max_ratio: float = 5.0

    def surrogate(self, log_ratio: Tensor, logprobs: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
        ratio = log_ratio.detach().exp()
        return ratio.clamp(max=self.max_ratio) * advantages * logprobs, ratio > self.max_ratio
