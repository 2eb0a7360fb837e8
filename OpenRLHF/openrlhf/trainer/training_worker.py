"""One rank of a role that is trained."""

from openrlhf.experience.example import MicroBatches
from openrlhf.trainer.learner import Learner
from openrlhf.trainer.rank_checkpoint import load_learner
from openrlhf.trainer.worker import TokenValues, Worker


class TrainingWorker(Worker):
    """`load` sets `learner`."""

    learner: Learner

    def score(self, micro_batches: MicroBatches) -> TokenValues:
        """Log-probabilities of a policy, at the sampling temperature; values of a critic."""
        return self.learner.outputs(micro_batches)

    def load_checkpoint(self, parent: str, tag: str) -> None:
        load_learner(self.learner, parent, tag)

    def remember(self) -> None:
        """Keeps what `undo` goes back to."""
        self.learner.remember()

    def undo(self) -> None:
        self.learner.undo()

    def sleep(self) -> None:
        """The optimiser's state goes to CPU memory until `wake`."""
        self.learner.sleep()

    def wake(self) -> None:
        self.learner.wake()
