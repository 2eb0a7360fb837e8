"""Supervised fine-tuning: the mean negative log-likelihood of the response tokens of the global batch."""

from dataclasses import dataclass

from torch import Tensor

from openrlhf.models.scorer import Scores, ScoreSpec
from openrlhf.trainer.batching import MicroBatch
from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class SftObjective:
    chunk_size: int = 512
    needs_posterior: bool = False
    num_candidates: int = 0

    def spec(self, batch: MicroBatch) -> ScoreSpec:
        return ScoreSpec(targets=batch.rows.targets, chunk_size=self.chunk_size)

    def loss(self, scores: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        real = batch.token_weights > 0
        tally.add("nll", -scores.target_logprobs.detach()[real])
        return -(scores.target_logprobs * batch.token_weights).sum()
