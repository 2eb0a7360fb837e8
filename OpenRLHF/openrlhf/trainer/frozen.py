"""A frozen model beside the policy, on the same ranks: reference for a KL term, or posterior of InTRO."""

from typing import Any

import torch
from torch import Tensor

from openrlhf.models.actor import Actor
from openrlhf.models.loader import load_actor
from openrlhf.models.ragged import RaggedRows
from openrlhf.models.scorer import Scores, ScoreSpec
from openrlhf.trainer.deepspeed_setup import deepspeed_config, initialize, local_device


class FrozenActor:
    """Scores rows without gradient; sharded over the ranks if the policy is (ZeRO-3), replicated otherwise."""

    def __init__(self, path: str, args: Any, pad_token_id: int = 0) -> None:
        sharded = args.zero_stage == 3
        config = deepspeed_config(args, trainable=False) if sharded else None
        self.actor: Actor = load_actor(path, args, trainable=False, zero3_config=config, pad_token_id=pad_token_id)
        self._engine = initialize(self.actor, args, None) if sharded else self.actor.to(local_device())
        self._engine.eval()

    @torch.no_grad()
    def hidden(self, rows: RaggedRows) -> Tensor:
        """[T, width], states that predict the scored tokens."""
        return self._engine(rows)

    @torch.no_grad()
    def logprobs(self, rows: RaggedRows, chunk_size: int) -> Tensor:
        """float32 [T], log-probabilities of the scored tokens at temperature 1."""
        spec = ScoreSpec(targets=rows.targets, chunk_size=chunk_size)
        return Scores(*self._engine(rows, spec)).target_logprobs
