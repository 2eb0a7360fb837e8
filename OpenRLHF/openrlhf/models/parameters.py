"""Full parameters under their Hugging Face names, wherever and however the model is sharded.

The one source for weight sync and for saving: every rank iterates in lockstep (a gather is collective under ZeRO-3).
"""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from openrlhf.models.actor import Actor
from openrlhf.models.scalar import ScalarModel

Network = Actor | ScalarModel


class FullParameters:
    """Iterates (name, full tensor) of a network; LoRA is merged and 4-bit weights are dequantised on the way, a tied
    output layer is left out.

    The tensors are valid only until the next one is asked for.
    """

    def __init__(self, network: Network, dtype: torch.dtype | None = None) -> None:
        self._network = network
        self._dtype = dtype
        self._entries = list(self._plan())

    def _plan(self) -> Iterator[tuple[str, nn.Parameter, Any]]:
        """(name, parameter, LoRA layer or None) in a fixed order, the same on every rank."""
        model = self._network.pretrained
        layers = dict(model.named_modules())
        for name, parameter in model.named_parameters():
            if "lora_" in name or (self._network.tied and name == "lm_head.weight"):
                continue
            layer = None
            if ".base_layer." in name:
                layer = layers[name[: name.index(".base_layer.")]] if name.endswith(".weight") else None
                name = name.replace(".base_layer.", ".")
            yield name, parameter, layer

    def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        """(name, dtype, full shape) of what iteration yields, without gathering anything."""
        return [(name, self._dtype or _full_dtype(p), _full_shape(p)) for name, p, _ in self._entries]

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter, layer in self._entries:
            with gathered([parameter, *_lora_parameters(layer)]), torch.no_grad():
                tensor = _dequantised(parameter)
                if layer is not None:
                    tensor = tensor + sum(layer.get_delta_weight(adapter) for adapter in layer.active_adapters)
                yield name, tensor if self._dtype is None else tensor.to(self._dtype)


def _full_shape(parameter: nn.Parameter) -> tuple[int, ...]:
    return tuple(getattr(parameter, "ds_shape", None) or getattr(parameter, "quant_state", parameter).shape)


def _full_dtype(parameter: nn.Parameter) -> torch.dtype:
    return getattr(parameter, "quant_state", parameter).dtype


def _dequantised(parameter: nn.Parameter) -> Tensor:
    """bitsandbytes keeps what it needs for that beside the parameter; others are as they are."""
    state = getattr(parameter, "quant_state", None)
    if state is None:
        return parameter.detach()
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(parameter.data, state)


def _lora_parameters(layer: Any) -> list[nn.Parameter]:
    return [] if layer is None else [p for n, p in layer.named_parameters() if "lora_" in n]


def gathered(parameters: list[nn.Parameter]) -> Any:
    """Holds ZeRO-3 shards together, collectively; a no-op for parameters that are whole."""
    sharded = [p for p in parameters if hasattr(p, "ds_id")]
    if not sharded:
        return nullcontext()
    from deepspeed.runtime.zero import GatheredParameters

    return GatheredParameters(sharded)
