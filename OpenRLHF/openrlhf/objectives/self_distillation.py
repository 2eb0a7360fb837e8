r"""Distilling what the policy would say had it read the hint, token by token, over the teacher's likeliest tokens.

    L = Σ_b Σ_t c_b · ρ_t · v_t · D(q_t, T_t)         D: `objectives.divergences`, on T's top k tokens and the tail

ρ_t = min(π(z_t)/π_old(z_t), C), constant, or 1. Without wrong hints T is the posterior and v_t = 1. With them
(arXiv 2606.11709, §4.3, and its authors' code)

    T* ∝ T^(1 + α) / T_w^α,     v_t = D_w / (D_w + τ),  D_w = KL(T ‖ T_w)

where T_w is the mixture under the wrong hints: where a hint says the same right or wrong, nothing is learnt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openrlhf.models.scores import Scores, ScoreSpec
from openrlhf.objectives.base import GAP_METRICS, Objective, hint_gap, tally_engine_gap, tally_gap, tally_measured
from openrlhf.objectives.divergences import generalised_jsd, guided, with_tail
from openrlhf.objectives.kl import kl_penalty

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally

METRICS = {
    "distil_loss": "mean divergence of policy and teacher per token",
    "kl_posterior": "KL(p‖q) per token in nats, over the whole vocabulary, on every eighth token",
    "entropy": "of the policy per token, nats, on every eighth token",
    **GAP_METRICS,
}


@dataclass(frozen=True)
class Distillation:
    """How teacher and policy are compared.

    beta, clip: of `generalised_jsd`. top_k: of the teacher's tokens. max_ratio: C, None for ρ = 1.
    guidance, floor, contrast_scale: α, the least log T_w, and τ, where there are wrong hints.
    """

    beta: float
    top_k: int
    clip: float = math.inf
    max_ratio: float | None = None
    guidance: float = 0.5
    floor: float = -5.0
    contrast_scale: float = 1.0

    def per_token(self, scores: Scores, batch: MicroBatch) -> Tensor:
        """ρ_t v_t D_t [T]; zero where a row has no hint. The scores' candidates are the teacher's likeliest."""
        import torch

        policy, teacher = with_tail(scores.candidate_logprobs), with_tail(scores.posterior_candidate_logprobs)
        value = torch.ones_like(scores.target_logprobs)
        if batch.contrasted is not None:
            wrong = with_tail(scores.contrast_candidate_logprobs)
            apart = generalised_jsd(wrong, teacher, 0.0).clamp(min=0)
            there = batch.contrasted
            value = (apart / (apart + self.contrast_scale)).where(there, value)
            teacher = guided(teacher, wrong, self.guidance, self.floor).where(there[:, None], teacher)
        found = generalised_jsd(policy, teacher, self.beta, self.clip) * value
        if self.max_ratio is not None and "old_logprob" in batch.columns:
            ratio = (scores.target_logprobs.detach() - batch.columns["old_logprob"]).exp()
            found = found * ratio.clamp(max=self.max_ratio)
        return found if batch.has_hint is None else found.masked_fill(~batch.has_hint, 0.0)


@dataclass(frozen=True)
class DistillationObjective(Objective):
    """With `kl`, an estimator, a penalty for leaving the reference model is added. temperature: of q and T."""

    sums_over_tokens = True
    needs_posterior = True

    distillation: Distillation
    temperature: float = 1.0
    kl: str | None = None

    @property
    def needs_reference(self) -> bool:
        return self.kl is not None

    def spec(self, batch: MicroBatch) -> ScoreSpec:
        return ScoreSpec(
            targets=batch.rows.targets,
            posterior_top_k=self.distillation.top_k,
            temperature=self.temperature,
            measured=batch.measured,
        )

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        per_token = self.distillation.per_token(outputs, batch)
        tally.add("distil_loss", per_token.detach()[batch.real])
        tally_gap(hint_gap(outputs), batch, tally)
        tally_measured("kl_posterior", outputs.kl, batch, tally)
        tally_measured("entropy", outputs.entropy, batch, tally)
        if self.temperature == 1.0:
            tally_engine_gap(outputs.target_logprobs, batch, tally)
        loss = (per_token * batch.token_weights).sum()
        return loss if self.kl is None else loss + kl_penalty(outputs.target_logprobs, batch, self.kl, tally)
