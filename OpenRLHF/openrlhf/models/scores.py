"""What the output layer is asked for, and what it answers. Imports no torch: methods declare with these."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ScoreSpec:
    """What to compute for each of T scored positions.

    targets: int64 [T], the tokens that were generated.
    uniforms: float32 [T, n] in [0, 1), from which n candidates are drawn from q; None draws none.
    candidates: int64 [T, n], tokens to score instead of drawn ones; excludes `uniforms`.
    posterior_top_k: candidates are the k likeliest tokens of p; excludes `uniforms` and `candidates`.
    hinted: int64 [T, H], the places of each position's rows among the posterior's hidden states; the first is p's, the
        others' mixture is the contrast, −1: none. By default p has one for every position, in the same order.
    top_k: candidates are drawn from the k likeliest tokens, renormalised; 0 means from all.
    force_target: the generated token is always among those drawn: where missing, it replaces the last.
    temperature: τ of q and p.
    cross_entropy: also CE(p, q) in closed form; needs a posterior.
    measured: bool [T], the positions whose entropy and KL are computed, or one answer for all of them. Only logs want
        these, and they are the only scores that need work of their own over the whole vocabulary.
    chunk_size: positions per chunk; memory grows with it, results do not depend on it.
    """

    targets: Tensor
    uniforms: Tensor | None = None
    candidates: Tensor | None = None
    posterior_top_k: int = 0
    hinted: Tensor | None = None
    top_k: int = 0
    force_target: bool = True
    temperature: float = 1.0
    cross_entropy: bool = False
    measured: Tensor | bool = True
    chunk_size: int = 512

    def __post_init__(self) -> None:
        if (self.uniforms is not None) + (self.candidates is not None) + (self.posterior_top_k > 0) > 1:
            raise ValueError("candidates are given or drawn or the posterior's likeliest: one of these")

    @property
    def num_candidates(self) -> int:
        source = self.candidates if self.uniforms is None else self.uniforms
        return self.posterior_top_k if source is None else source.shape[1]

    @property
    def measured_rows(self) -> Tensor | slice:
        """An index of the positions whose entropy and KL are computed."""
        if isinstance(self.measured, bool):
            return slice(None) if self.measured else slice(0)
        return self.measured

    def part(self, positions: slice | Tensor) -> ScoreSpec:
        """The same for some of the scored positions; a slice or int64 indices."""
        return replace(
            self,
            targets=self.targets[positions],
            uniforms=None if self.uniforms is None else self.uniforms[positions],
            candidates=None if self.candidates is None else self.candidates[positions],
            hinted=None if self.hinted is None else self.hinted[positions],
            measured=self.measured if isinstance(self.measured, bool) else self.measured[positions],
        )

    def again(self, candidates: Tensor) -> ScoreSpec:
        """The same a second time, for candidates [T, n] that were drawn before."""
        return replace(self, uniforms=None, posterior_top_k=0, candidates=candidates, measured=False)


class Scores(NamedTuple):
    """Per scored position, float32 unless said otherwise; only the first three may carry gradient.

    Where a row has no hint, p is q; where it has only the first one, the contrast is q.
    """

    target_logprobs: Tensor  # [T] log q(z_t)
    candidate_logprobs: Tensor  # [T, n] log q(a_i)
    cross_entropy: Tensor  # [T] − Σ_a p(a) log q(a); zeros unless asked for
    candidates: Tensor  # [T, n] int64
    posterior_target_logprobs: Tensor  # [T] log p(z_t); zeros without a posterior
    posterior_candidate_logprobs: Tensor  # [T, n] log p(a_i); zeros without a posterior
    contrast_target_logprobs: Tensor  # [T] log (1/K) Σ_k p_k(z_t) over the further hints; zeros without a posterior
    contrast_candidate_logprobs: Tensor  # [T, n] likewise of the candidates
    entropy: Tensor  # [T] of q, in nats; NaN where it was not asked for
    kl: Tensor  # [T] KL(p ‖ q) in nats; likewise, and zeros without a posterior
