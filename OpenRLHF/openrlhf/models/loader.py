"""Loads models and tokenizers with the settings that the commands share; never runs code from a model folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)

from openrlhf.config.model import LoadingConfig, LoraConfig, ModelConfig
from openrlhf.errors import UserError
from openrlhf.models.actor import Actor, disable_dropout
from openrlhf.models.moe import router_balance
from openrlhf.models.scalar import ScalarHead, ScalarModel, stored_head
from openrlhf.models.sequence_parallel import SequenceParallel, check_splittable


def load_config(path: str) -> PretrainedConfig:
    """The model's configuration, without its weights.

    Raises:
        UserError: the folder or the hub has none, or the model needs code of its own.
    """
    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = (
            "the folder exists but holds no usable config.json"
            if Path(path).is_dir()
            else "there is no such folder here, and it could not be had from the model hub"
        )
        raise UserError(
            f"cannot load the model {path!r}: {hint} ({reason}). Give a local folder, or a name on the hub."
        ) from None


def load_tokenizer(path: str, *, use_fast: bool = True) -> PreTrainedTokenizerBase:
    """The model's tokenizer; a missing padding token becomes the end-of-sequence token.

    Raises:
        UserError: no tokenizer, or one without an end-of-sequence token.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, use_fast=use_fast, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"cannot load a tokenizer from {path!r} ({reason}); save it beside the model (tokenizer.json)"
        ) from None
    if tokenizer.eos_token_id is None:
        raise UserError(f"the tokenizer of {path!r} has no eos_token: generation could never end. Set one and save it.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def check_same_vocabulary(tokenizer: PreTrainedTokenizerBase, path: str, flag: str) -> None:
    """UserError unless the model at `path`, named by `flag`, reads the same token ids as `tokenizer` writes."""
    if load_tokenizer(path).get_vocab() != tokenizer.get_vocab():
        raise UserError(
            f"{flag} {path}: its tokenizer's vocabulary differs from that of --pretrain, so it cannot score the same"
            " token ids: choose a model of the same family"
        )


def load_actor(
    path: str, config: ModelConfig, *, trainable: bool, zero3_config: dict | None = None, pad_token_id: int = 0
) -> Actor:
    """An `Actor` on the CPU, its parameters sharded as they are created where a ZeRO-3 configuration is given.

    config: after the rules, which settle `attn_implementation`.
    """
    balance = router_balance(load_config(path), config) if trainable else None
    model = _from_pretrained(AutoModelForCausalLM, path, config, zero3_config)
    layout: dict[str, Any] = {"packed": config.packing_samples, "pad_token_id": pad_token_id, "split": _split(config)}
    if not trainable:
        model.requires_grad_(False)
        return Actor(model.eval(), **layout)
    _prepare_for_training(model, config)
    if config.lora.lora_rank > 0:
        from peft import get_peft_model

        with _lora_errors(config.lora):
            model = get_peft_model(model, _lora_config(config.lora, "CAUSAL_LM"))
    if config.use_liger_kernel:
        _apply_liger(model)
    return Actor(model, **layout, balance=balance)


def head_name(path: str, wanted: str) -> str:
    """The name of the layer that gives a model's scalars: `wanted`, unless its configuration gives one, as in 0.6.2."""
    return getattr(load_config(path), "value_head_prefix", wanted)


def find_head(path: str, wanted: str) -> str:
    """As `head_name`; reads no weights but the head's. UserError where the model has no such layer."""
    name = head_name(path, wanted)
    if stored_head(path, name) is None:
        raise UserError(
            f"{path!r} has no layer {name}.weight in its safetensors files, so it gives no rewards: train it with"
            " train_rm, or name its last layer with --value_head_prefix"
        )
    return name


def load_scalar(
    path: str,
    config: LoadingConfig,
    *,
    trainable: bool,
    head_prefix: str = "score",
    new_head: bool = False,
    at_predictors: bool = False,
    zero3_config: dict | None = None,
    pad_token_id: int = 0,
) -> ScalarModel:
    """A reward model or critic on the CPU; see `load_actor` and `ScalarModel`.

    head_prefix: the name of the last layer; one that the checkpoint's configuration gives wins, as in 0.6.2.
    new_head: a checkpoint without the layer `head_prefix` gets a fresh one.

    Raises:
        UserError: no such layer, and no new one is wanted.
    """
    head_prefix = head_name(path, head_prefix) if new_head else find_head(path, head_prefix)
    weight = stored_head(path, head_prefix)
    trained = config if isinstance(config, ModelConfig) else ModelConfig()
    balance = router_balance(load_config(path), trained) if trainable else None
    backbone = _from_pretrained(AutoModel, path, config, zero3_config)
    head = ScalarHead(backbone.config.get_text_config().hidden_size, backbone.dtype)
    if weight is not None:
        with torch.no_grad():
            head.weight.copy_(weight)
    if trainable:
        _prepare_for_training(backbone, trained)
        if trained.lora.lora_rank > 0:
            from peft import inject_adapter_in_model

            with _lora_errors(trained.lora):
                backbone = inject_adapter_in_model(_lora_config(trained.lora, "FEATURE_EXTRACTION"), backbone)
    model = ScalarModel(
        backbone,
        head,
        head_prefix=head_prefix,
        at_predictors=at_predictors,
        packed=trained.packing_samples,
        pad_token_id=pad_token_id,
        balance=balance,
        split=_split(trained),
    )
    return model if trainable else model.requires_grad_(False).eval()


def _from_pretrained(auto_class: Any, path: str, config: LoadingConfig, zero3_config: dict | None) -> Any:
    keep_alive = None
    if zero3_config is not None:
        from transformers.integrations import HfDeepSpeedConfig

        keep_alive = HfDeepSpeedConfig(zero3_config)  # from_pretrained shards while this object lives
    split = _split(config) if isinstance(config, ModelConfig) else None
    if split is not None:
        check_splittable(load_config(path), split.size)
    model = auto_class.from_pretrained(
        path,
        dtype=getattr(torch, config.dtype),
        attn_implementation=config.attn_implementation if split is None else split.attention,
        trust_remote_code=False,
        quantization_config=four_bit_config(getattr(torch, config.dtype)) if config.load_in_4bit else None,
    )
    del keep_alive
    model.config.use_cache = False
    disable_dropout(model)
    return model


def _split(config: ModelConfig) -> SequenceParallel | None:
    """The ranks that share rows with this one (--ring_attn_size); the process group must exist."""
    return SequenceParallel.join(config.ring_attn_size) if config.ring_attn_size > 1 else None


def _prepare_for_training(model: Any, config: ModelConfig) -> None:
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": config.gradient_checkpointing_use_reentrant})
    if config.lora.lora_rank > 0:
        model.enable_input_require_grads()  # gradient checkpointing needs a gradient to reach the first layer


def four_bit_config(computed_in: torch.dtype = torch.bfloat16) -> Any:
    """How weights are quantised to 4 bits. UserError without bitsandbytes."""
    from importlib.util import find_spec

    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise UserError("--load_in_4bit needs bitsandbytes: pip install bitsandbytes, or leave the flag out")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=computed_in,
    )


def _lora_config(config: LoraConfig, task: str) -> Any:
    import peft

    # PEFT takes a text alone for a pattern, apart from "all-linear".
    named = config.target_modules not in ("all-linear", ("all-linear",))
    return peft.LoraConfig(
        task_type=task,
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        target_modules=list(config.target_modules) if named else "all-linear",
        lora_dropout=config.lora_dropout,
        bias="none",
    )


@contextmanager
def _lora_errors(config: LoraConfig) -> Iterator[None]:
    """What PEFT cannot do with --target_modules, as a UserError."""
    try:
        yield
    except ValueError as error:
        raise UserError(
            f"--target_modules {_shown(config.target_modules)} cannot get LoRA matrices in this model: "
            f"{str(error).strip().splitlines()[0]} Name its linear layers, such as q_proj v_proj, or leave the flag out"
        ) from None


def _shown(modules: str | tuple[str, ...]) -> str:
    return modules if isinstance(modules, str) else " ".join(modules)


def _apply_liger(model: Any) -> None:
    try:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance
    except ImportError:
        raise UserError("--use_liger_kernel needs liger-kernel: pip install liger-kernel, or leave it out") from None
    _apply_liger_kernel_to_instance(model=model)
