"""Knowledge distillation: the student learns the data's tokens and the teacher's whole distribution.

With q the student, p the teacher and c the weight of the teacher's part, over the response tokens of the global batch:

    L = mean of  (1 − c) · (− log q(z_t)) + c · (− Σ_a p(a) log q(a))
"""

from dataclasses import dataclass

from torch import Tensor

from openrlhf.models.scorer import Scores, ScoreSpec
from openrlhf.objectives.base import Objective
from openrlhf.trainer.batching import MicroBatch
from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class DistillObjective(Objective):
    """The teacher is the learner's posterior; it reads the same rows."""

    needs_posterior = True

    kd_coef: float
    chunk_size: int = 512

    def spec(self, batch: MicroBatch) -> ScoreSpec:
        return ScoreSpec(batch.rows.targets, cross_entropy=True, chunk_size=self.chunk_size)

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        likelihood, distilled = -outputs.target_logprobs, outputs.cross_entropy
        tally.add("gpt_loss", likelihood.detach()[batch.real])
        tally.add("distil_loss", distilled.detach()[batch.real])
        losses = (1 - self.kd_coef) * likelihood + self.kd_coef * distilled
        return (losses * batch.token_weights).sum()
