r"""RLSD (arXiv 2604.03128): GRPO, each token's advantage weighted by how much the hint speaks for what the reward says.

    A_t = A · ((1 − λ) + λ · clip(exp(sign(A) Δ_t), 1 − ε_w, 1 + ε_w)),     Δ_t = log p(z_t) − log q(z_t)

p reads the gold answer or a worked solution. With --hint_contrast K, Δ_t = log p(z_t) − log p_w(z_t), where p_w is the
mixture under up to K wrong hints (arXiv 2606.11709, §4.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.settings import setting
from openrlhf.methods.base import token_mean
from openrlhf.methods.group_norm import GroupNorm
from openrlhf.methods.hints import HINT_METRICS, ContrastedSolution
from openrlhf.models.scores import Scores
from openrlhf.objectives.base import GAP_METRICS, Objective, hint_gap, tally_gap
from openrlhf.objectives.policy import PolicyObjective

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class RLSD(ContrastedSolution, GroupNorm):
    name: ClassVar[str] = "rlsd"
    title: ClassVar[str] = "RLSD"
    in_openrlhf: ClassVar[bool] = False
    flag_prefix: ClassVar[str] = "rlsd_"
    default_reward: ClassVar[str | None] = "math"
    metrics: ClassVar[dict[str, str]] = {**GroupNorm.metrics, **GAP_METRICS, **HINT_METRICS}

    mix: float = setting(0.5, "λ, the part of the hint in a token's weight.", at_least=0, at_most=1)
    bound: float = setting(0.2, "ε_w: the hint's weight of a token lies in 1 ± this.", at_least=0, at_most=1)

    def describe(self, config: Any) -> str:
        against = f", against up to {self.contrast} wrong siblings" if self.contrast else ""
        return f"RLSD: λ = {self.mix:g}, ε_w = {self.bound:g}, {self.posterior} posterior{against}"

    def weights(self, lengths: Sequence[int], config: RLConfig) -> list[float]:
        return token_mean(lengths)

    def objective(self, config: RLConfig) -> Objective:
        temperature = config.rollout.scored_temperature
        return RlsdObjective(self.eps_clip, temperature, config.kl_in_loss, mix=self.mix, bound=self.bound)


@dataclass(frozen=True)
class RlsdObjective(PolicyObjective):
    needs_posterior = True

    mix: float = 0.5
    bound: float = 0.2

    def advantages(self, scores: Scores, batch: MicroBatch) -> Tensor:
        advantage = batch.columns["advantage"]
        evidence = (advantage.sign() * hint_gap(scores)).exp().clamp(1 - self.bound, 1 + self.bound)
        return advantage * ((1 - self.mix) + self.mix * evidence)

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        tally_gap(hint_gap(outputs), batch, tally)
        return super().loss(outputs, batch, tally)
