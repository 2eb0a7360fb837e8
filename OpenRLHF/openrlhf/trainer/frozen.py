"""Frozen models that score rows without gradient: reference of a KL term, posterior, teacher, reward model."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from openrlhf.config.training import TrainConfig
from openrlhf.models.actor import Actor
from openrlhf.models.loader import load_actor, load_scalar
from openrlhf.models.ragged import RaggedRows
from openrlhf.models.scalar import ScalarModel
from openrlhf.models.scores import Scores, ScoreSpec
from openrlhf.trainer.deepspeed_setup import deepspeed_config, initialize, local_device, sharding_stage


class FrozenActor:
    """A language model, sharded over the ranks if the policy is (ZeRO-3), replicated otherwise.

    offload: keep its weights in CPU memory between uses (no difference without a GPU).
    """

    def __init__(self, path: str, config: TrainConfig, pad_token_id: int = 0, *, offload: bool = False) -> None:
        zero3 = _frozen_config(config, offload)
        self.actor: Actor = load_actor(
            path, config.model, trainable=False, zero3_config=zero3, pad_token_id=pad_token_id
        )
        self._chunk_size = config.model.score_chunk_size
        self._engine = _evaluating(self.actor, zero3)

    @torch.no_grad()
    def hidden(self, rows: RaggedRows) -> Tensor:
        """[T, width], states that predict the scored tokens."""
        return self._engine(rows)

    @torch.no_grad()
    def scores(self, rows: RaggedRows, spec: ScoreSpec) -> Scores:
        return Scores(*self._engine(rows, spec))

    def logprobs(self, rows: RaggedRows, temperature: float = 1.0) -> Tensor:
        """float32 [T], log-probabilities of the scored tokens."""
        spec = ScoreSpec(rows.targets, temperature=temperature, measured=False, chunk_size=self._chunk_size)
        return self.scores(rows, spec).target_logprobs


class FrozenScalar:
    """A reward model; otherwise as `FrozenActor`."""

    def __init__(
        self,
        path: str,
        config: TrainConfig,
        pad_token_id: int = 0,
        *,
        head_prefix: str = "score",
        offload: bool = False,
    ) -> None:
        zero3 = _frozen_config(config, offload)
        self.model: ScalarModel = load_scalar(
            path, config.model, trainable=False, head_prefix=head_prefix, zero3_config=zero3, pad_token_id=pad_token_id
        )
        self._engine = _evaluating(self.model, zero3)

    @torch.no_grad()
    def values(self, rows: RaggedRows) -> Tensor:
        """float32 [T], one number per scored token."""
        return self._engine(rows)


def _frozen_config(config: TrainConfig, offload: bool) -> dict | None:
    """A ZeRO-3 configuration where the weights are to be sharded or kept in CPU memory."""
    if sharding_stage(config) != 3:
        if not (offload and torch.cuda.is_available()):
            return None
        # parameters are kept elsewhere by ZeRO-3 only
        config = replace(config, deepspeed=replace(config.deepspeed, zero_stage=3))
    return deepspeed_config(config, trainable=False, offload_parameters=offload)


def _evaluating(model: nn.Module, config: dict | None) -> Any:
    engine = initialize(model, config, None) if config else model.to(local_device())
    engine.eval()
    return engine
