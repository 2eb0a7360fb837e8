r"""The clipped policy-gradient objective of PPO (Schulman et al. 2017, eq. 7), which GRPO, RLOO and REINFORCE++ share.

    L = − Σ_b Σ_t c_b · min(ρ_t A_t, clip(ρ_t, 1 − ε, 1 + ε) A_t),     ρ_t = π(z_t) / π_old(z_t)

c_b comes from the caller: 1 / (B |z_b|), a mean over responses of the mean over their tokens, or 1 / (B · longest
response) for Dr. GRPO. How A_t is made is `objectives.advantages`.
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
class PolicyObjective(Objective):
    """Reads the columns "advantage" and "old_logprob"; with `kl` also "reference".

    temperature: of the policy, as it was sampled from.
    """

    eps_clip: float
    chunk_size: int = 512
    temperature: float = 1.0
    kl: KlTerm | None = None

    @property
    def needs_reference(self) -> bool:
        return self.kl is not None

    def spec(self, batch: MicroBatch) -> ScoreSpec:
        return ScoreSpec(targets=batch.rows.targets, temperature=self.temperature, chunk_size=self.chunk_size)

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        logprobs, advantages = outputs.target_logprobs, batch.columns["advantage"]
        log_ratio = logprobs - batch.columns["old_logprob"]
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - self.eps_clip, 1 + self.eps_clip)
        surrogate = torch.minimum(ratio * advantages, clipped * advantages)
        real = batch.real
        tally.add("clipped_share", (clipped * advantages < ratio * advantages)[real].float())
        tally.add("policy_shift", -log_ratio.detach()[real])
        tally.add_maximum("ratio", ratio.detach()[real])
        tally.add("entropy", outputs.entropy[real])
        if self.temperature == 1.0:
            tally_engine_gap(logprobs, batch, tally)
        loss = -(surrogate * batch.token_weights).sum()
        return loss if self.kl is None else loss + kl_penalty(logprobs, batch, self.kl, tally)
