"""Ranks of roles that only score: the reference model and reward models."""

from typing import Any

from openrlhf.models.loader import load_tokenizer
from openrlhf.objectives.base import MicroBatches
from openrlhf.trainer.batching import collate
from openrlhf.trainer.deepspeed_setup import local_device
from openrlhf.trainer.frozen import FrozenActor, FrozenScalar
from openrlhf.trainer.worker import TokenValues, Worker, by_example


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
            found.append(by_example(values, [len(e.scored) for e in examples]))
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
        config = self.model.model.config
        self._mean = float(config.mean) if args.normalize_reward else 0.0
        self._std = float(config.std) if args.normalize_reward else 1.0

    def score(self, micro_batches: MicroBatches) -> TokenValues:
        """The reward at each scored token."""
        found = []
        for examples in micro_batches:
            values = self.model.values(collate(examples, local_device()).rows)
            found.append(by_example((values - self._mean) / self._std, [len(e.scored) for e in examples]))
        return found


def same_tokens(policy: Any, path: str) -> bool:
    """Whether a reward model reads the token ids of the policy's tokenizer."""
    return load_tokenizer(path).get_vocab() == policy.get_vocab()
