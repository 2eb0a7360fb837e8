"""Ranks of roles that only score: the reference model and reward models."""

from openrlhf.config.reinforcement import RLConfig
from openrlhf.experience.example import MicroBatches
from openrlhf.experience.micro_batch import collate
from openrlhf.models.reward_scale import RewardScale, reward_scale
from openrlhf.trainer.deepspeed_setup import local_device
from openrlhf.trainer.frozen import FrozenActor, FrozenScalar
from openrlhf.trainer.learner import by_example
from openrlhf.trainer.worker import TokenValues, Worker


class ReferenceWorker(Worker):
    """The starting model, for KL."""

    def load(self) -> None:
        config, pad = self.config, self.tokenizer.pad_token_id
        offload = config.placement.ref_reward_offload
        self.model = FrozenActor(str(config.model.pretrain), config, pad, offload=offload)

    def score(self, micro_batches: MicroBatches) -> TokenValues:
        """Log-probabilities at the sampling temperature."""
        found = []
        for examples in micro_batches:
            rows = collate(examples, local_device()).rows
            values = self.model.logprobs(rows, self.config.rollout.scored_temperature)
            found.append(by_example(values, examples))
        return found


class RewardModelWorker(Worker):
    """A reward model. path: one of those in --reward_pretrain."""

    def __init__(self, config: RLConfig, rank: int, world_size: int, path: str) -> None:
        super().__init__(config, rank, world_size)
        self._path = path

    def load(self) -> None:
        config = self.config
        self.model = FrozenScalar(
            self._path,
            config,
            self.tokenizer.pad_token_id,
            head_prefix=config.reward.value_head_prefix,
            offload=config.placement.ref_reward_offload,
        )
        self._scale = reward_scale(self._path) if config.reward.normalize_reward else RewardScale()

    def score(self, micro_batches: MicroBatches) -> TokenValues:
        """The reward at each scored token."""
        found = []
        for examples in micro_batches:
            values = self.model.values(collate(examples, local_device()).rows)
            found.append(by_example(self._scale.normalized(values), examples))
        return found
