"""Supervised fine-tuning: the mean negative log-likelihood of the response tokens of the global batch."""

from dataclasses import dataclass

from torch import Tensor

from openrlhf.models.scorer import Scores
from openrlhf.objectives.base import Objective
from openrlhf.trainer.batching import MicroBatch
from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class SftObjective(Objective):
    """`name`: under which the likelihood is logged."""

    chunk_size: int = 512
    name: str = "gpt_loss"

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        tally.add(self.name, -outputs.target_logprobs.detach()[batch.real])
        return -(outputs.target_logprobs * batch.token_weights).sum()
