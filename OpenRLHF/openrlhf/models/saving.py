"""Saves a model as a plain Hugging Face folder, gathered from its shards."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist
from transformers import GenerationConfig

from openrlhf.models.adapters import adapter_config, adapter_tensors, write_adapter
from openrlhf.models.parameters import FullParameters, Network
from openrlhf.models.scalar import ScalarModel
from openrlhf.utils.atomic import partial, publish


def save_pretrained(network: Network, tokenizer: Any, folder: Path, *, source: str) -> None:
    """Collective: every rank calls it, rank 0 writes `folder` (weights, config, tokenizer, generation config).

    LoRA is merged into the weights; the adapter itself goes to `folder/adapter`. `source` is where the model
    came from, for its generation config. An existing `folder` keeps its other files.
    """
    writer = not dist.is_initialized() or dist.get_rank() == 0
    state = {}
    for name, tensor in FullParameters(network):
        if writer:
            state[name] = tensor.detach().cpu().clone()
    adapter = adapter_tensors(network) if adapter_config(network) is not None else None
    if writer:
        target = partial(folder)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        _write(network, tokenizer, target, state, source)
        if adapter is not None:
            write_adapter(network, target / "adapter", adapter, source)
        _move_into(target, folder)
    if dist.is_initialized():
        dist.barrier()


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


def _move_into(complete: Path, folder: Path) -> None:
    """Renames `complete` to `folder`; where that exists, its entries are replaced one by one and others kept."""
    if not folder.exists():
        publish(folder)
        return
    for entry in complete.iterdir():
        if entry.is_dir():
            shutil.rmtree(folder / entry.name, ignore_errors=True)
        os.replace(entry, folder / entry.name)
    complete.rmdir()
