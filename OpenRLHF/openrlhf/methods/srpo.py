r"""SRPO: Sample-Routed Policy Optimization (arXiv 2604.02288): GRPO for right responses, SDPO for wrong ones that have
a right sibling, over one denominator.

A distilled token is weighted by exp(−β H(T_t)), H being the teacher's entropy, scaled so that the mean weight over the
optimiser batch is 1: where the teacher is unsure it teaches less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.settings import setting
from openrlhf.experience.rollout import Rollout
from openrlhf.methods.base import token_mean
from openrlhf.methods.group_norm import GroupNorm
from openrlhf.methods.hints import RightSibling
from openrlhf.objectives.base import GAP_METRICS, Objective
from openrlhf.objectives.routed import RoutedObjective
from openrlhf.objectives.self_distillation import Distillation


@dataclass(frozen=True)
class SRPO(RightSibling, GroupNorm):
    name: ClassVar[str] = "srpo"
    title: ClassVar[str] = "SRPO"
    in_openrlhf: ClassVar[bool] = False
    flag_prefix: ClassVar[str] = "srpo_"
    default_reward: ClassVar[str | None] = "math"
    metrics: ClassVar[dict[str, str]] = {
        **GroupNorm.metrics,
        **GAP_METRICS,
        "hinted_share": "share of the trained responses that are distilled",
        "distil_loss": "mean weighted divergence of policy and teacher over the distilled tokens",
    }

    posterior: str = setting("ema", "Who is the teacher: an average of the weights, the starting model, or the current"
                             " weights.", choices=("online", "ema", "initial"))  # fmt: skip
    beta: float = setting(0.5, "0: forward KL; 1: reverse KL; between: JSD.", at_least=0, at_most=1)
    top_k: int = setting(100, "The teacher's so many likeliest tokens are compared one by one.", at_least=1)
    max_ratio: float = setting(2.0, "The probability ratio that weighs a distilled token is cut above this.",
                               more_than=0)  # fmt: skip
    entropy_beta: float = setting(1.0, "β: how much less an unsure teacher teaches; 0: no less.", at_least=0)

    def describe(self, config: Any) -> str:
        return f"SRPO: GRPO where right, JSD_{self.beta:g} to a right sibling where wrong, {self.posterior} teacher"

    def hints(self, rollout: Rollout, group: Sequence[Rollout]) -> Sequence[str]:
        return [] if rollout.correct else super().hints(rollout, group)

    def weights(self, lengths: Sequence[int], config: RLConfig) -> list[float]:
        return token_mean(lengths)

    def objective(self, config: RLConfig) -> Objective:
        how = Distillation(self.beta, self.top_k, max_ratio=self.max_ratio)
        return RoutedObjective(
            self.eps_clip,
            config.rollout.scored_temperature,
            config.kl_in_loss,
            distillation=how,
            entropy_beta=self.entropy_beta,
        )
