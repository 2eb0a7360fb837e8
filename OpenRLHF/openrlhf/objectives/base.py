"""What an objective is: it says what it needs, the learner supplies it, and it turns scores into a loss."""

from typing import Protocol

from torch import Tensor

from openrlhf.models.scorer import Scores, ScoreSpec
from openrlhf.trainer.batching import MicroBatch
from openrlhf.utils.tally import Tally


class Objective(Protocol):
    """needs_posterior: score each row under the answer-conditioned model as well.
    num_candidates: tokens to draw per position, 0 for none.
    """

    @property
    def needs_posterior(self) -> bool: ...

    @property
    def num_candidates(self) -> int: ...

    def spec(self, batch: MicroBatch) -> ScoreSpec: ...

    def loss(self, scores: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        """A scalar that is already normalised over the global batch (`batch.token_weights`); logs into `tally`."""
        ...
