r"""InTRO: In-Token Rationality Optimization (arXiv 2511.09865).

The policy q_t = π(· | x, z_<t) is pulled, token by token, towards its answer-conditioned counterpart
p_t = π(· | x, h(y), z_<t). Over the kept rationales b of the global batch, with candidates a_i drawn from q_t:

    sampled   L = − Σ_b Σ_t c_b · (1/n) Σ_i w_{t,i} log q_t(a_i),   w = clip(p_t(a_i) / q_t(a_i), 0, clip), constant
    exact     L = − Σ_b Σ_t c_b · Σ_a p_t(a) log q_t(a)             (its expectation without cut and clip)

c_b = 1 / (B |z_b|) for seq-mean (the published form) and 1 / Σ_b |z_b| for token-mean. B and the sum count the whole
optimiser batch, over all ranks and accumulation steps; the caller supplies c_b, so that splitting changes nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from openrlhf.models.scorer import Scores, ScoreSpec
from openrlhf.objectives.base import Objective, tally_engine_gap
from openrlhf.objectives.kl import KlTerm, kl_penalty
from openrlhf.trainer.batching import MicroBatch
from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class IntroConfig:
    """`estimator`: sampled or exact. `temperature` applies to q and p. See the module for the rest."""

    estimator: str = "sampled"
    num_candidates: int = 5
    top_k: int = 20
    clip_max: float = 200.0
    temperature: float = 1.0


def correction_factors(scores: Scores, clip_max: float) -> Tensor:
    """w [T, n] float32, without gradient: clip(p(a)/q(a), 0, clip_max), computed in log space."""
    log_w = scores.posterior_candidate_logprobs - scores.candidate_logprobs.detach()
    return log_w.exp().clamp(max=clip_max)


def intro_loss(scores: Scores, token_weights: Tensor, config: IntroConfig) -> tuple[Tensor, Tensor]:
    """The loss (a scalar) and the correction factors w [T, n].

    token_weights: float32 [T], c_b of the rationale that each scored token belongs to.
    """
    w = correction_factors(scores, config.clip_max)
    if config.estimator == "exact":
        per_token = scores.cross_entropy
    else:
        per_token = -(w * scores.candidate_logprobs).mean(-1)
    # A weight of zero must silence a row even where its loss is infinite.
    per_token = torch.where(token_weights > 0, per_token, torch.zeros_like(per_token))
    return (per_token * token_weights).sum(), w


def token_weights(lengths: list[int], aggregation: str) -> list[float]:
    """c_b for every kept rationale of the global batch, given their lengths in tokens.

    Raises:
        ValueError: for an aggregation other than seq-mean and token-mean.
    """
    if aggregation == "seq-mean":
        return [1.0 / (len(lengths) * n) for n in lengths]
    if aggregation == "token-mean":
        return [1.0 / sum(lengths)] * len(lengths)
    raise ValueError(f"unknown aggregation {aggregation!r}: seq-mean or token-mean")


@dataclass(frozen=True)
class IntroObjective(Objective):
    """InTRO as an objective of the learner; with `kl`, a penalty for leaving the reference model."""

    needs_posterior = True

    config: IntroConfig
    chunk_size: int = 512
    kl: KlTerm | None = None

    @property
    def num_candidates(self) -> int:
        return self.config.num_candidates

    @property
    def needs_reference(self) -> bool:
        return self.kl is not None

    def spec(self, batch: MicroBatch) -> ScoreSpec:
        return ScoreSpec(
            targets=batch.rows.targets,
            uniforms=batch.uniforms,
            top_k=self.config.top_k,
            temperature=self.config.temperature,
            cross_entropy=self.config.estimator == "exact",
            chunk_size=self.chunk_size,
        )

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        loss, w = intro_loss(outputs, batch.token_weights, self.config)
        _tally_tokens(outputs, w, batch.real, self.config.clip_max, tally)
        if self.config.temperature == 1.0:
            tally_engine_gap(outputs.target_logprobs, batch, tally)
        if self.kl is not None:
            loss = loss + kl_penalty(outputs.target_logprobs, batch, self.kl, tally)
        return loss


def _tally_tokens(scores: Scores, w: Tensor, real: Tensor, clip_max: float, tally: Tally) -> None:
    w = w[real]
    tally.add("w", w)
    tally.add("w_squared", w.square())
    tally.add("w_clipped_share", (w >= clip_max).float())
    tally.add_maximum("w", w)
    tally.add_samples("w", w)
    tally.add("kl_posterior", scores.kl[real])
    tally.add("entropy", scores.entropy[real])
    tally.add("loglik", scores.target_logprobs.detach()[real])
    tally.add("loglik_hinted", scores.posterior_target_logprobs[real])
