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

    temperature: of the policy, as it was sampled from. eps_clip_high: upper ε where it is another one.
    """

    sums_over_tokens = True

    eps_clip: float
    temperature: float = 1.0
    kl: str | None = None
    eps_clip_high: float | None = None

    @property
    def needs_reference(self) -> bool:
        return self.kl is not None

    def spec(self, batch: MicroBatch) -> ScoreSpec:
        return ScoreSpec(targets=batch.rows.targets, temperature=self.temperature, measured=batch.measured)

    def advantages(self, scores: Scores, batch: MicroBatch) -> Tensor:
        """A_t, float32 [T] without gradient: for methods that change it by what the scores say."""
        return batch.columns["advantage"]

    def log_ratios(self, logprobs: Tensor, batch: MicroBatch) -> Tensor:
        """log ρ_t [T]. Before its first update on fresh rollouts the policy is the old one."""
        return logprobs - batch.columns.get("old_logprob", logprobs.detach())

    def surrogate(self, log_ratio: Tensor, logprobs: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
        """What is maximised at each token, and where it was cut, bool; all [T]."""
        ratio = log_ratio.exp()
        high = self.eps_clip if self.eps_clip_high is None else self.eps_clip_high
        plain, clipped = ratio * advantages, ratio.clamp(1 - self.eps_clip, 1 + high) * advantages
        return plain.minimum(clipped), clipped < plain

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        logprobs, advantages = outputs.target_logprobs, self.advantages(outputs, batch)
        log_ratio = self.log_ratios(logprobs, batch)
        surrogate, clipped = self.surrogate(log_ratio, logprobs, advantages)
        real = batch.real
        tally.add("clipped_share", clipped[real].float())
        tally.add("policy_shift", -log_ratio.detach()[real])
        tally.add_maximum("ratio", log_ratio.detach()[real].exp())
        tally_measured("entropy", outputs.entropy, batch, tally)
        if self.temperature == 1.0:
            tally_engine_gap(logprobs, batch, tally)
        loss = -(surrogate * batch.token_weights).sum()
        return loss if self.kl is None else loss + kl_penalty(logprobs, batch, self.kl, tally)
