"""The balancing loss of mixtures of experts (Switch Transformers, arXiv 2101.03961, equations 4 to 6).

For the tokens of one forward pass and all its routed layers together, E · Σ_e f_e P_e: f_e is how often a token chooses
expert e, P_e the mean probability that the router gives it, and only P_e carries gradient. transformers computes it.

The product of two means is not linear in the batch: the value over a whole batch is not the mean of the values over its
parts. What a learner adds is the mean over its micro-batches, each weighted by its tokens.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from openrlhf.config.model import ModelConfig
from openrlhf.errors import UserError

# What configurations call the number of experts.
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True)
class RouterBalance:
    """`loss(router_logits, experts, top_k)` is the function that belongs to the model's class."""

    coef: float
    experts: int
    top_k: int
    loss: Callable[[tuple[Tensor, ...], int, int], Tensor]

    def __call__(self, router_logits: Sequence[Tensor]) -> Tensor:
        """A scalar, not yet multiplied by `coef`. router_logits: [tokens, experts] of each routed layer."""
        return self.loss(tuple(router_logits), self.experts, self.top_k)


def is_mixture_of_experts(config: Any) -> bool:
    return _experts(config) > 1 or _loss_function(config) is not None


def router_balance(config: Any, model: ModelConfig) -> RouterBalance | None:
    """What --aux_loss_coef asks for; None where it asks for nothing or the model is dense.

    Raises:
        UserError: the model has experts, but its class has no balancing loss; or what was asked for cannot be trained.
    """
    coef = model.aux_loss_coef
    if coef <= 0 or not is_mixture_of_experts(config):
        return None
    loss, experts = _loss_function(config), _experts(config)
    top_k = getattr(_text(config), "num_experts_per_tok", None)
    if loss is None or experts < 2 or top_k is None:
        raise UserError(
            f"--aux_loss_coef {coef:g}: transformers has no balancing loss for {config.model_type} models (some "
            "balance their experts without one); leave the flag out"
        )
    if model.gradient_checkpointing and model.gradient_checkpointing_use_reentrant:
        raise UserError(
            "--aux_loss_coef: no gradient reaches the routers through reentrant checkpointing; remove "
            "--gradient_checkpointing_use_reentrant"
        )
    return RouterBalance(coef, experts, top_k, loss)


def _text(config: Any) -> Any:
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def _experts(config: Any) -> int:
    return max((getattr(_text(config), name, None) or 0 for name in _EXPERTS), default=0)


def _loss_function(config: Any) -> Any:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    model_class = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    module = None if model_class is None else sys.modules[model_class.__module__]
    return getattr(module, "load_balancing_loss_func", None)
