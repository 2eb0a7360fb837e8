r"""Some responses are distilled, the others follow their advantage.

L = Σ_{rows without a hint} (clipped policy gradient) + coef · Σ_{rows with one} c_b Σ_t D(q_t, T_t)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from openrlhf.models.scores import Scores, ScoreSpec
from openrlhf.objectives.base import hint_gap, tally_gap
from openrlhf.objectives.policy import PolicyObjective
from openrlhf.objectives.self_distillation import Distillation

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class RoutedObjective(PolicyObjective):
    """With `entropy_beta` distilled tokens are weighted by exp(−β H(T)), scaled to a mean of 1 over the whole batch.

    guided: rows with a hint were sampled with it, so that the engine's log-probabilities are others.
    """

    needs_posterior = True

    distillation: Distillation = field(default_factory=lambda: Distillation(0.5, 100))
    entropy_beta: float = 0.0
    coef: float = 1.0
    guided: bool = False

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
        columns = {**batch.columns, "advantage": batch.columns["advantage"] * ~distilled}
        if self.guided and "engine" in columns:
            columns["engine"] = outputs.target_logprobs.detach().where(distilled, columns["engine"])
        followed = super().loss(outputs, replace(batch, columns=columns), tally)
        return followed + self.coef * (per_token * batch.token_weights * distilled).sum()
