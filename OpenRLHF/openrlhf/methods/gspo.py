r"""GSPO: Group Sequence Policy Optimization (arXiv 2507.18071): ratios and clipping of whole responses.

s_b = (π(z_b) / π_old(z_b))^(1/|z_b|),     L = − (1/B) Σ_b min(s_b A_b, clip(s_b, 1 − ε, 1 + ε') A_b)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.settings import setting
from openrlhf.methods.group_norm import GroupNorm
from openrlhf.objectives.base import Objective
from openrlhf.objectives.policy import PolicyObjective

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch


@dataclass(frozen=True)
class GSPO(GroupNorm):
    name: ClassVar[str] = "gspo"
    title: ClassVar[str] = "GSPO"
    in_openrlhf: ClassVar[bool] = False
    flag_prefix: ClassVar[str] = "gspo_"

    eps_clip: float = setting(3e-4, "The response's ratio is clipped below 1 − this.", more_than=0)
    eps_clip_high: float = setting(4e-4, "The response's ratio is clipped above 1 + this.", more_than=0)

    def describe(self, config: Any) -> str:
        return f"GSPO: ratios of whole responses, clip {self.eps_clip:g} and {self.eps_clip_high:g}"

    def objective(self, config: RLConfig) -> Objective:
        return GspoObjective(self.eps_clip, config.rollout.scored_temperature, config.kl_in_loss, self.eps_clip_high)


@dataclass(frozen=True)
class GspoObjective(PolicyObjective):
    sums_over_tokens = False

    def log_ratios(self, logprobs: Tensor, batch: MicroBatch) -> Tensor:
        return batch.row_means(super().log_ratios(logprobs, batch))[batch.token_rows]
