"""Ranks of roles that only score: the reference model and reward models."""

from typing import Any

from openrlhf.models.reward_scale import RewardScale, reward_scale
from openrlhf.objectives.base import MicroBatches
from openrlhf.trainer.batching import collate
from openrlhf.trainer.deepspeed_setup import local_device
from openrlhf.trainer.frozen import FrozenActor, FrozenScalar
from openrlhf.trainer.learner import by_example
from openrlhf.trainer.worker import TokenValues, Worker


class ReferenceWorker(Worker):
    """The starting model, for KL."""

    def load(self) -> None:
        args = self.args
        self.model = FrozenActor(args.pretrain, args, self.tokenizer.pad_token_id, offload=args.ref_reward_offload)

    def score(self, micro_batches: MicroBatches) -> TokenValues:
        """Log-probabilities at the sampling temperature."""
        found = []
        for examples in micro_batches:
            rows = collate(examples, local_device()).rows
            values = self.model.logprobs(rows, self.args.score_chunk_size, self.args.temperature or 1.0)
            found.append(by_example(values, examples))
        return found


class RewardModelWorker(Worker):
    """A reward model. path: one of those in --reward_pretrain."""

    def __init__(self, args: Any, rank: int, world_size: int, path: str) -> None:
        super().__init__(args, rank, world_size)
        self._path = path

    def load(self) -> None:
        args = self.args
        self.model = FrozenScalar(
            self._path,
            args,
            self.tokenizer.pad_token_id,
            head_prefix=args.value_head_prefix,
            offload=args.ref_reward_offload,
        )
        self._scale = reward_scale(self._path) if args.normalize_reward else RewardScale()

    def score(self, micro_batches: MicroBatches) -> TokenValues:
        """The reward at each scored token."""
        found = []
        for examples in micro_batches:
            values = self.model.values(collate(examples, local_device()).rows)
            found.append(by_example(self._scale.normalized(values), examples))
        return found
