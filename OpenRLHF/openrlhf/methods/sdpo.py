"""SDPO: Self-Distillation Policy Optimization (arXiv 2601.20802): the teacher reads a right sibling; JSD over its
likeliest tokens and a tail.

Responses to prompts without another right response are not trained on. The teacher is a moving average of the weights;
the loss is weighted by the probability ratio of the present policy and the one that sampled, cut at 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.settings import setting
from openrlhf.experience.rollout import Rollout
from openrlhf.methods.base import token_mean
from openrlhf.methods.hints import HINT_METRICS, RightSibling, right_sibling
from openrlhf.objectives.base import Objective
from openrlhf.objectives.self_distillation import METRICS, Distillation, DistillationObjective


@dataclass(frozen=True)
class SDPO(RightSibling):
    name: ClassVar[str] = "sdpo"
    title: ClassVar[str] = "SDPO"
    flag_prefix: ClassVar[str] = "sdpo_"
    needs_groups: ClassVar[bool] = True
    needs_old_logprobs: ClassVar[bool] = True
    default_reward: ClassVar[str | None] = "math"
    metrics: ClassVar[dict[str, str]] = {**METRICS, "hinted_share": HINT_METRICS["hinted_share"]}

    posterior: str = setting("ema", "Who is the teacher: an average of the weights, the starting model, or the current"
                             " weights.", choices=("online", "ema", "initial"))  # fmt: skip
    beta: float = setting(0.5, "0: forward KL; 1: reverse KL; between: JSD.", at_least=0, at_most=1)
    top_k: int = setting(100, "The teacher's so many likeliest tokens are compared one by one.", at_least=1)
    max_ratio: float = setting(2.0, "The probability ratio that weighs a token is cut above this.", more_than=0)

    def describe(self, config: Any) -> str:
        return f"SDPO: JSD_{self.beta:g} on {self.top_k} tokens and a tail, {self.posterior} teacher, a right sibling"

    def outcomes(self, group: Sequence[Rollout]) -> list[float | None]:
        return [r.reward if r.token_ids and right_sibling(r, group) is not None else None for r in group]

    def weights(self, lengths: Sequence[int], config: RLConfig) -> list[float]:
        return token_mean(lengths)

    def objective(self, config: RLConfig) -> Objective:
        how = Distillation(self.beta, self.top_k, max_ratio=self.max_ratio)
        return DistillationObjective(how, config.rollout.scored_temperature)
