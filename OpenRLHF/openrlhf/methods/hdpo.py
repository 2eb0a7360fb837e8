r"""HDPO: Hybrid Distillation Policy Optimization (arXiv 2603.23871): GRPO, and for prompts that no response solves,
right responses that were sampled with the hint, distilled into the policy that does not see it.

    L = L_GRPO + λ · (1/N) Σ_{hinted responses} Σ_t D(q_t, p_t),     N the tokens of the optimiser batch

Such a response takes the place of a failed one, whose advantage was 0, so a step keeps its number of responses.
In the figures of rollouts it counts with the failed one's reward. λ, D and the posterior are ours: the abstract names
none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from openrlhf.config.method import SolutionHint
from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.settings import setting
from openrlhf.experience.rollout import Rollout
from openrlhf.methods.base import HintedMethod, token_mean
from openrlhf.methods.group_norm import GroupNorm
from openrlhf.methods.hints import hint_figures
from openrlhf.objectives.base import GAP_METRICS, Objective
from openrlhf.objectives.routed import RoutedObjective
from openrlhf.objectives.self_distillation import Distillation


@dataclass(frozen=True)
class HDPO(SolutionHint, HintedMethod, GroupNorm):
    name: ClassVar[str] = "hdpo"
    title: ClassVar[str] = "HDPO"
    in_openrlhf: ClassVar[bool] = False
    flag_prefix: ClassVar[str] = "hdpo_"
    default_reward: ClassVar[str | None] = "math"
    metrics: ClassVar[dict[str, str]] = {
        **GroupNorm.metrics,
        **GAP_METRICS,
        "hinted_share": "share of the trained responses that were sampled with the hint",
        "distil_loss": "mean divergence of policy and posterior over their tokens",
        "guided_prompts": "prompts that no response solved, for which others were sampled with the hint",
        "guided_right": "of those responses the right ones, which are distilled",
    }

    samples: int = setting(2, "Responses with the hint for a prompt that none solves.", at_least=1)
    weight: float = setting(0.1, "λ: weight of their distillation.", at_least=0)
    beta: float = setting(0.0, "0: forward KL; 1: reverse KL; between: JSD.", at_least=0, at_most=1)
    top_k: int = setting(100, "The posterior's so many likeliest tokens are compared one by one.", at_least=1)

    def describe(self, config: Any) -> str:
        return f"HDPO: GRPO, and {self.samples} hinted responses where all fail, JSD_{self.beta:g} × {self.weight:g}"

    @property
    def guided_samples(self) -> int:
        return self.samples

    def outcomes(self, group: Sequence[Rollout]) -> list[float | None]:
        """Those that were sampled with the hint are compared with nobody."""
        own = iter(super().outcomes([rollout for rollout in group if not rollout.guided]))
        return [0.0 if rollout.guided else next(own) for rollout in group]

    def hints(self, rollout: Rollout, group: Sequence[Rollout]) -> Sequence[str]:
        return [self.hint(rollout, group)] if rollout.guided else []

    def step_figures(self, groups: Sequence[Sequence[Rollout]]) -> dict[str, float]:
        return super().step_figures(groups) | hint_figures(groups, False)

    def weights(self, lengths: Sequence[int], config: RLConfig) -> list[float]:
        return token_mean(lengths)

    def objective(self, config: RLConfig) -> Objective:
        return RoutedObjective(
            self.eps_clip,
            config.rollout.scored_temperature,
            config.kl_in_loss,
            distillation=Distillation(self.beta, self.top_k),
            coef=self.weight,
            guided=True,
        )
