r"""SRPO: Sample-Routed Policy Optimization (arXiv 2604.02288): GRPO for right responses, SDPO for wrong ones that have
a right sibling, over one denominator.

A distilled token is weighted by exp(−β H(T_t)), H being the teacher's entropy, scaled so that the mean weight over the
optimiser batch is 1: where the teacher is unsure it teaches less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.settings import setting
from openrlhf.experience.rollout import Rollout
from openrlhf.methods.base import token_mean
from openrlhf.methods.group_norm import GroupNorm
from openrlhf.methods.hints import RightSibling
from openrlhf.models.scores import Scores, ScoreSpec
from openrlhf.objectives.base import GAP_METRICS, Objective, hint_gap, tally_gap
from openrlhf.objectives.policy import PolicyObjective
from openrlhf.objectives.self_distillation import Distillation

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally


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
        return SrpoObjective(
            self.eps_clip,
            config.rollout.scored_temperature,
            config.kl_in_loss,
            distillation=how,
            entropy_beta=self.entropy_beta,
        )


@dataclass(frozen=True)
class SrpoObjective(PolicyObjective):
    """Rows with a hint are distilled, the others follow their advantage."""

    needs_posterior = True

    distillation: Distillation = field(default_factory=lambda: Distillation(0.5, 100))
    entropy_beta: float = 0.0

    @property
    def looks_ahead(self) -> bool:
        return self.entropy_beta > 0

    def spec(self, batch: MicroBatch) -> ScoreSpec:
        return replace(super().spec(batch), posterior_top_k=self.distillation.top_k)

    def _distilled(self, batch: MicroBatch) -> Tensor:
        return batch.real if batch.has_hint is None else batch.real & batch.has_hint

    def look_ahead_figures(self, batch: MicroBatch) -> dict[str, float]:
        weights = (-self.entropy_beta * batch.columns["hinted_entropy"]).exp()[self._distilled(batch)]
        return {"distilled": float(weights.numel()), "sureness": float(weights.sum())}

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        distilled = self._distilled(batch)
        per_token = self.distillation.per_token(outputs, batch)
        if self.looks_ahead and batch.figures["sureness"] > 0:
            mean = batch.figures["sureness"] / batch.figures["distilled"]
            per_token = per_token * (-self.entropy_beta * batch.columns["hinted_entropy"]).exp() / mean
        tally.add("distil_loss", per_token.detach()[distilled])
        tally_gap(hint_gap(outputs), replace(batch, token_weights=batch.token_weights * distilled), tally)
        followed = replace(batch, columns={**batch.columns, "advantage": batch.columns["advantage"] * ~distilled})
        return super().loss(outputs, followed, tally) + (per_token * batch.token_weights * distilled).sum()
