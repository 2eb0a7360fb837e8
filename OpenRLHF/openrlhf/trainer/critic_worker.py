"""One rank of the critic: values of states, and their training."""

from pathlib import Path

from openrlhf.experience.example import MicroBatches
from openrlhf.models.saving import save_pretrained
from openrlhf.objectives.value import ValueObjective
from openrlhf.trainer.learner import Learner
from openrlhf.trainer.networks import trainable_scalar
from openrlhf.trainer.rank_checkpoint import save_learner
from openrlhf.trainer.training_worker import TrainingWorker
from openrlhf.utils.tally import Tally


class CriticWorker(TrainingWorker):
    def load(self) -> None:
        config, settings = self.config, self.config.critic
        critic = trainable_scalar(
            str(settings.critic_pretrain),
            config,
            self.tokenizer.pad_token_id,
            head_prefix=config.reward.value_head_prefix,
            at_predictors=True,
        )
        self.learner = Learner(config, critic, ValueObjective(settings.value_clip), settings.critic_learning_rate)

    def train_step(self, micro_batches: MicroBatches, learning_rate: float) -> Tally:
        return self.learner.train_step(micro_batches, learning_rate)

    def save_checkpoint(self, parent: str, step: int, run: str, keep: int) -> None:
        save_learner(self.learner, parent, step, {"step": step, "run": run}, keep)

    def save_model(self, folder: str) -> None:
        """Collective: a plain Hugging Face folder with the value head."""
        save_pretrained(
            self.learner.network, self.tokenizer, Path(folder), source=str(self.config.critic.critic_pretrain)
        )
