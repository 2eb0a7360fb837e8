r"""The clipped policy-gradient objective (Schulman et al. 2017, eq. 7).

    L = − Σ_b Σ_t c_b · min(ρ_t A_t, clip(ρ_t, 1 − ε, 1 + ε) A_t),     ρ_t = π(z_t) / π_old(z_t)

c_b comes from the caller, and so does A_t: a method's `weights` and `columns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from openrlhf.models.scores import Scores, ScoreSpec
from openrlhf.objectives.base import Objective, tally_engine_gap, tally_measured
from openrlhf.objectives.kl import kl_penalty

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class PolicyObjective(Objective):
    """Reads the columns "advantage" and, where it is there, "old_logprob"; with `kl`, an estimator of the KL term, also
    "reference".

    A subclass whose ratios are those of whole sequences sets `sums_over_tokens` to False.

    temperature: of the policy, as it was sampled from.
    """

    sums_over_tokens = True

    eps_clip: float
    temperature: float = 1.0
    kl: str | None = None

    @property
    def needs_reference(self) -> bool:
        return self.kl is not None

    def spec(self, batch: MicroBatch) -> ScoreSpec:
        return ScoreSpec(targets=batch.rows.targets, temperature=self.temperature, measured=batch.measured)

    def advantages(self, scores: Scores, batch: MicroBatch) -> Tensor:
        """A_t, float32 [T] without gradient: for methods that change it by what the scores say."""
        return batch.columns["advantage"]

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        logprobs, advantages = outputs.target_logprobs, self.advantages(outputs, batch)
        # Before its first update on fresh rollouts the policy is the old one.
        log_ratio = logprobs - batch.columns.get("old_logprob", logprobs.detach())
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - self.eps_clip, 1 + self.eps_clip)
        surrogate = (ratio * advantages).minimum(clipped * advantages)
        real = batch.real
        tally.add("clipped_share", (clipped * advantages < ratio * advantages)[real].float())
        tally.add("policy_shift", -log_ratio.detach()[real])
        tally.add_maximum("ratio", ratio.detach()[real])
        tally_measured("entropy", outputs.entropy, batch, tally)
        if self.temperature == 1.0:
            tally_engine_gap(logprobs, batch, tally)
        loss = -(surrogate * batch.token_weights).sum()
        return loss if self.kl is None else loss + kl_penalty(logprobs, batch, self.kl, tally)
