"""The mean negative log-likelihood of the scored tokens of the global batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from openrlhf.models.scores import Scores
from openrlhf.objectives.base import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class LikelihoodObjective(Objective):
    """`logged_as`: under which the likelihood is logged."""

    sums_over_tokens = True

    logged_as: str = "gpt_loss"

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        tally.add(self.logged_as, -outputs.target_logprobs.detach()[batch.real])
        return -(outputs.target_logprobs * batch.token_weights).sum()
