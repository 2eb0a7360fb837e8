r"""Weights for tokens that another policy sampled than the one that is trained.

With rollouts that were made ahead, or by an engine that computes otherwise than the trainer, the tokens come from μ and
not from π, the policy before its update. Each token's loss is multiplied by a function of ρ_t = π(z_t) / μ(z_t):

    tis      min(ρ, C)                          truncated importance sampling (Yao et al. 2025)
    icepop   ρ where low ≤ ρ ≤ high, else 0     (Ling team, 2510.18855)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally

BEHAVIOUR = "behaviour"  # the column of log μ(z_t)


@dataclass(frozen=True)
class Correction:
    """kind: "tis" or "icepop". cap: C. low, high: the ratios that icepop keeps."""

    kind: str
    cap: float
    low: float
    high: float

    def weights(self, log_ratio: Tensor) -> Tensor:
        """From log ρ to the factor of each token's loss; same shape."""
        ratio = log_ratio.exp()
        if self.kind == "tis":
            return ratio.clamp(max=self.cap)
        return ratio * ((ratio >= self.low) & (ratio <= self.high))

    def applied(self, logprobs: Tensor, batch: MicroBatch, tally: Tally) -> MicroBatch:
        """The micro-batch with corrected token weights; a batch that does not say μ stays as it is.

        logprobs: [T], the present policy's; they are the ones before the update where no column says those.
        """
        if BEHAVIOUR not in batch.columns:
            return batch
        log_ratio = batch.columns.get("old_logprob", logprobs.detach()) - batch.columns[BEHAVIOUR]
        weights, ratio, real = self.weights(log_ratio), log_ratio.exp(), batch.real
        tally.add("behaviour_ratio", ratio[real])
        tally.add_maximum("behaviour_ratio", ratio[real])
        tally.add("corrected_share", (weights != ratio)[real].float())
        return replace(batch, token_weights=batch.token_weights * weights)
