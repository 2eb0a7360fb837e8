"""Objectives of pairs for the tests of the learner: whole rows against each other, as in DPO and reward models."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from openrlhf.models.scorer import Scores
from openrlhf.objectives.base import PairObjective
from openrlhf.trainer.batching import MicroBatch
from openrlhf.utils.tally import Tally


def pair_loss(of_rows: Tensor, batch: MicroBatch) -> Tensor:
    return -(logsigmoid(of_rows[0::2] - of_rows[1::2]) * batch.row_weights[0::2]).sum()


@dataclass(frozen=True)
class PolicyPairs(PairObjective):
    """Row sums of log-probabilities relative to a reference, with a small β so that large steps do not saturate it."""

    chunk_size: int = 512
    needs_reference = True

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        return pair_loss(0.01 * batch.row_sums(outputs.target_logprobs - batch.columns["reference"]), batch)


@dataclass(frozen=True)
class RewardPairs(PairObjective):
    """Row sums of a scalar model's values."""

    def loss(self, outputs: Tensor, batch: MicroBatch, tally: Tally) -> Tensor:
        return pair_loss(batch.row_sums(outputs), batch)
