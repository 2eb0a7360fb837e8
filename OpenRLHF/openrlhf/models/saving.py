"""Saves a model as a plain Hugging Face folder, gathered from its shards."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist
from safetensors import SafetensorError
from transformers import GenerationConfig

from openrlhf.errors import UserError
from openrlhf.models.adapters import adapter_config, adapter_tensors, write_adapter
from openrlhf.models.parameters import FullParameters, Network
from openrlhf.models.scalar import ScalarModel
from openrlhf.utils.atomic import filled

# What a folder may hold of another model: after a save it holds what was written then. Logs and the like stay.
_MODEL_FILES = (
    *("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "pytorch_model*.bin.index.json"),
    *("config.json", "generation_config.json", "adapter", "adapter_config.json", "chat_template.*"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "*.model"),
    *("vocab.json", "vocab.txt", "merges.txt", "additional_chat_templates", "*processor_config.json"),
)


def save_pretrained(
    network: Network, tokenizer: Any, folder: Path, *, source: str, fallback: Path | None = None
) -> None:
    """Collective: every rank calls it, rank 0 writes `folder` (weights, config, tokenizer, generation config).

    LoRA is merged into the weights; the adapter itself goes to `folder/adapter`. source: where the model came from, for
    its generation config. Files of another model in `folder` go, any others stay.

    fallback: where the model is written when `folder` cannot be written.

    Raises:
        UserError: on rank 0, where the model lies in `fallback`, or could be written nowhere.
    """
    writer = not dist.is_initialized() or dist.get_rank() == 0
    state = {}
    for name, tensor in FullParameters(network):
        if writer:
            state[name] = tensor.detach().cpu().clone()
    adapter = adapter_tensors(network) if adapter_config(network) is not None else None

    def write(target: Path) -> None:
        _write(network, tokenizer, target, state, source)
        if adapter is not None:
            write_adapter(network, target / "adapter", adapter, source)

    failed = _written(write, folder, fallback) if writer else None
    if dist.is_initialized():
        dist.barrier()  # the others must not wait for one that has failed
    if failed is not None:
        raise failed


def _written(write: Callable[[Path], None], folder: Path, fallback: Path | None) -> UserError | None:
    """Fills `folder` in one piece, or where that fails `fallback`; what there is to say about it."""
    reasons = []
    for place in (folder, fallback):
        if place is None:
            continue
        try:
            with filled(place, _MODEL_FILES) as target:
                write(target)
        except (OSError, SafetensorError) as error:  # safetensors has errors of its own for a full disk
            reasons.append(f"{place} cannot be written ({getattr(error, 'strerror', None) or error})")
            continue
        if not reasons:
            return None
        return UserError(f"{reasons[0]}; the complete model is in {place}: move it from there")
    return UserError(f"the model is lost: {', '.join(reasons)}")


def _write(network: Network, tokenizer: Any, target: Path, state: dict, source: str) -> None:
    model: Any = network.backbone if isinstance(network, ScalarModel) else network.pretrained
    config = type(model.config).from_dict(model.config.to_dict())
    config.use_cache = True
    config.dtype = next(iter(state.values())).dtype
    for name in ("quantization_config", "_pre_quantization_dtype"):
        config.__dict__.pop(name, None)  # the weights were dequantised
    config.architectures = [type(model).__name__]
    with _replaced(model, config=config, hf_quantizer=None):
        model.save_pretrained(target, state_dict=state)
    if isinstance(network, ScalarModel):
        config.architectures = [_regressor_class(config)]  # the backbone's own save names its own class
        config.num_labels = 1
        config.value_head_prefix = network.head_prefix
        config.save_pretrained(target)
    else:
        generation_config(source, tokenizer).save_pretrained(target)
    tokenizer.save_pretrained(target)


@contextmanager
def _replaced(model: Any, **attributes: Any) -> Iterator[None]:
    """Gives the model other attributes for a while."""
    kept = {name: getattr(model, name, None) for name in attributes}
    for name, value in attributes.items():
        setattr(model, name, value)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(model, name, value)


def _regressor_class(config: Any) -> str:
    """The transformers class that a folder with a `score` layer can be opened with."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

    return MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES.get(config.model_type, "ScalarModel")


def generation_config(source: str, tokenizer: Any) -> GenerationConfig:
    """The generation config that came with the model, or one that ends at the tokenizer's end-of-sequence."""
    try:
        return GenerationConfig.from_pretrained(source)
    except OSError:
        return GenerationConfig(
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
        )
