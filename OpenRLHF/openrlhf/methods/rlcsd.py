r"""RLCSD (arXiv 2606.11709): GRPO whose advantages are moved, within their sign, by the contrast of a right sibling and
of wrong ones as hints.

    e_t = log p(z_t | right) − log (1/K) Σ_k p(z_t | wrong_k),    r_t = η · tanh(e_t / τ)
    A_t = A + r_t where |r_t| > δ, but never across zero;    A elsewhere, and where A = 0

    L = − (1/N_0) Σ_{other tokens} min(ρ A, clip(ρ) A) − (1/N_1) Σ_{moved tokens} min(ρ A_t, clip(ρ) A_t)

N_0 and N_1 count the tokens of each kind in the whole optimiser batch. Right and wrong hints have the same wording, and
a response never reads itself. One that lacks a kind of sibling keeps its advantage (the authors leave it out).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.settings import setting
from openrlhf.experience.rollout import Rollout
from openrlhf.methods.base import token_mean
from openrlhf.methods.group_norm import GroupNorm
from openrlhf.methods.hints import HINT_METRICS, RightSibling, hint_figures, wrong_siblings
from openrlhf.models.scores import Scores
from openrlhf.objectives.base import GAP_METRICS, Objective, tally_gap
from openrlhf.objectives.policy import PolicyObjective

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class RLCSD(RightSibling, GroupNorm):
    name: ClassVar[str] = "rlcsd"
    title: ClassVar[str] = "RLCSD"
    in_openrlhf: ClassVar[bool] = False
    flag_prefix: ClassVar[str] = "rlcsd_"
    default_reward: ClassVar[str | None] = "math"
    metrics: ClassVar[dict[str, str]] = {
        **GroupNorm.metrics,
        **GAP_METRICS,
        **HINT_METRICS,
        "moved_share": "share of trained tokens whose advantage the contrast moved",
    }

    wrong: int = setting(4, "K: wrong siblings that a response is contrasted with, at most.", at_least=1)
    strength: float = setting(0.5, "η: the largest change of an advantage.", at_least=0)
    scale: float = setting(0.02, "τ: contrast at which tanh(1) of that is reached, nats.", more_than=0)
    threshold: float = setting(0.02, "δ: smaller changes are not made.", at_least=0)

    def describe(self, config: Any) -> str:
        how = f"η = {self.strength:g}, τ = {self.scale:g}, {self.posterior} posterior"
        return f"RLCSD: a right sibling against up to {self.wrong} wrong ones, {how}"

    def hints(self, rollout: Rollout, group: Sequence[Rollout]) -> Sequence[str]:
        right = super().hints(rollout, group)
        wrong = [self.sibling_hint(other.text) for other in wrong_siblings(rollout, group, self.wrong)]
        return [*right, *wrong] if right and wrong else []

    def step_figures(self, groups: Sequence[Sequence[Rollout]]) -> dict[str, float]:
        return super().step_figures(groups) | hint_figures(groups, True)

    def weights(self, lengths: Sequence[int], config: RLConfig) -> list[float]:
        return token_mean(lengths)

    def objective(self, config: RLConfig) -> Objective:
        return RlcsdObjective(
            self.eps_clip,
            config.rollout.scored_temperature,
            config.kl_in_loss,
            strength=self.strength,
            scale=self.scale,
            threshold=self.threshold,
        )


@dataclass(frozen=True)
class RlcsdObjective(PolicyObjective):
    """Reads the posterior's columns alone, and the figures "moved" and "others", numbers of tokens."""

    strength: float = 0.5
    scale: float = 0.02
    threshold: float = 0.02

    @property
    def looks_ahead(self) -> bool:
        return True

    def residual(self, batch: MicroBatch) -> Tensor:
        """r_t [T], zero where it is too small to be made."""
        gap = batch.columns["hinted"] - batch.columns["contrast"]
        found = self.strength * (gap / self.scale).tanh()
        return found.masked_fill(found.abs() <= self.threshold, 0.0)

    def look_ahead_figures(self, batch: MicroBatch) -> dict[str, float]:
        moved = self.residual(batch)[batch.real] != 0
        return {"moved": float(moved.sum()), "others": float((~moved).sum())}

    def advantages(self, scores: Scores, batch: MicroBatch) -> Tensor:
        advantage = batch.columns["advantage"]
        moved = advantage + self.residual(batch)
        return moved.clamp(min=0).where(advantage > 0, moved.clamp(max=0).where(advantage < 0, advantage.new_zeros(())))

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        moved = self.residual(batch) != 0
        tally_gap(batch.columns["hinted"] - batch.columns["contrast"], batch, tally)
        tally.add("moved_share", moved[batch.real].float())
        share = moved / max(1.0, batch.figures["moved"]) + ~moved / max(1.0, batch.figures["others"])
        return super().loss(outputs, replace(batch, token_weights=share * batch.real), tally)
