"""Networks that are trained: loaded with the same new parameters on every rank, and sharded under ZeRO-3."""

import torch

from openrlhf.config.training import TrainConfig
from openrlhf.models.actor import Actor
from openrlhf.models.loader import load_actor, load_scalar
from openrlhf.models.scalar import ScalarModel
from openrlhf.trainer.deepspeed_setup import deepspeed_config, sharding_stage


def trainable_actor(path: str, config: TrainConfig, pad_token_id: int = 0) -> Actor:
    """A policy; the process group must exist."""
    torch.manual_seed(config.optimizer.seed)  # new parameters (LoRA) are the same everywhere
    return load_actor(path, config.model, trainable=True, zero3_config=_zero3(config), pad_token_id=pad_token_id)


def trainable_scalar(
    path: str, config: TrainConfig, pad_token_id: int = 0, *, head_prefix: str, at_predictors: bool
) -> ScalarModel:
    """A reward model or critic; its head is new where the checkpoint has none."""
    torch.manual_seed(config.optimizer.seed)
    return load_scalar(
        path,
        config.model,
        trainable=True,
        head_prefix=head_prefix,
        new_head=True,
        at_predictors=at_predictors,
        zero3_config=_zero3(config),
        pad_token_id=pad_token_id,
    )


def _zero3(config: TrainConfig) -> dict | None:
    return deepspeed_config(config, trainable=True) if sharding_stage(config) == 3 else None
