"""LoRA adapters on disk, in PEFT's format: adapter_config.json and adapter_model.safetensors."""

from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from openrlhf.errors import UserError
from openrlhf.models.actor import Actor
from openrlhf.models.loader import load_config
from openrlhf.models.parameters import Network, gathered
from openrlhf.models.scalar import ScalarHead, ScalarModel, stored_head

CONFIG_FILE = "adapter_config.json"
# What PEFT's wrapper puts before the names of the model that it wraps.
_PREFIX = "base_model.model."


def adapter_config(network: Network) -> Any:
    """PEFT's configuration of the network's LoRA, None where it has none."""
    holder = network.backbone if isinstance(network, ScalarModel) else network.model
    return getattr(holder, "peft_config", {}).get("default")


def adapter_tensors(network: Network) -> dict[str, Tensor]:
    """Full copies in CPU memory under the names of PEFT's files: the LoRA matrices, and a scalar model's head, which is
    trained with them. Collective, as everything that gathers shards."""
    return {name: parameter.detach().cpu().clone() for name, parameter in _gathered_adapter(network)}


def _gathered_adapter(network: Network) -> Iterator[tuple[str, nn.Parameter]]:
    head = f"{network.head_prefix}.weight" if isinstance(network, ScalarModel) else None
    for name, parameter in network.pretrained.named_parameters():
        if "lora_" in name or name == head:
            with gathered([parameter]):
                yield _PREFIX + name.replace(".default", ""), parameter


def write_adapter(network: Network, folder: Path, tensors: dict[str, Tensor], source: str) -> None:
    """source: the model that the adapter belongs to."""
    from safetensors.torch import save_file

    config = copy(adapter_config(network))
    config.base_model_name_or_path = source
    config.inference_mode = True
    if isinstance(network, ScalarModel):
        config.task_type = "SEQ_CLS"
        config.modules_to_save = [network.head_prefix]
    folder.mkdir(parents=True)
    config.save_pretrained(str(folder))
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def find_adapter(path: str) -> str:
    """The folder itself, or its `adapter` folder, where training puts it; a name of the hub as it is.

    Raises:
        UserError: a folder without an adapter.
    """
    folder = Path(path)
    for candidate in (folder, folder / "adapter"):
        if (candidate / CONFIG_FILE).is_file():
            return str(candidate)
    if folder.exists():
        raise UserError(
            f"--lora_path {path}: neither it nor its folder 'adapter' holds {CONFIG_FILE}; give the --save_path of a "
            "training run with --lora_rank, or an adapter that PEFT saved"
        )
    return path


def merged_network(model_path: str, adapter_path: str, *, is_rm: bool, bf16: bool) -> Network:
    """The model with the adapter's update added to its weights.

    bf16: load and merge in bfloat16 instead of the type that the model was saved in.

    Raises:
        UserError: no model or adapter there, or they do not belong together.
    """
    from peft import PeftConfig, load_peft_weights

    model_config = load_config(model_path)
    adapter_path = find_adapter(adapter_path)
    try:
        config = PeftConfig.from_pretrained(adapter_path)
        tensors = load_peft_weights(adapter_path, device="cpu")
    except (OSError, ValueError) as error:
        raise UserError(f"cannot load the adapter {adapter_path} ({str(error).strip().splitlines()[0]})") from None
    trained_rm = config.task_type == "SEQ_CLS"
    if is_rm != trained_rm:
        wanted = "is one of a reward model: add" if trained_rm else "is none of a reward model: remove"
        raise UserError(f"the adapter {adapter_path} {wanted} --is_rm")
    dtype = torch.bfloat16 if bf16 else getattr(model_config, "dtype", None) or torch.float32
    return (
        _merged_scalar(model_path, config, tensors, dtype)
        if is_rm
        else _merged_actor(model_path, config, tensors, dtype)
    )


def _merged_actor(model_path: str, config: Any, tensors: dict[str, Tensor], dtype: torch.dtype) -> Actor:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=dtype, trust_remote_code=False)
    return Actor(_merge(model, config, tensors))


def _merged_scalar(model_path: str, config: Any, tensors: dict[str, Tensor], dtype: torch.dtype) -> ScalarModel:
    """The adapter's names start at the whole model; the backbone, which the head is apart from, is a part of it."""
    from transformers import AutoModel

    backbone = AutoModel.from_pretrained(model_path, dtype=dtype, trust_remote_code=False)
    names = sorted(config.modules_to_save or ["score"])  # PEFT itself writes both "classifier" and "score"
    heads = {name: tensors.pop(f"{_PREFIX}{name}.weight", None) for name in names}
    heads = {name: stored_head(model_path, name) if head is None else head for name, head in heads.items()}
    head_prefix, head = next(((name, head) for name, head in heads.items() if head is not None), ("", None))
    if head is None:
        raise UserError(f"neither the adapter nor the model {model_path} has a layer {' or '.join(names)}")
    whole = f"{_PREFIX}{backbone.base_model_prefix}."
    tensors = {name.replace(whole, _PREFIX, 1): tensor for name, tensor in tensors.items()}
    config.modules_to_save = None
    layer = ScalarHead(head.shape[1], dtype)
    with torch.no_grad():
        layer.weight.copy_(head)
    return ScalarModel(_merge(backbone, config, tensors), layer, head_prefix=head_prefix)


def _merge(model: Any, config: Any, tensors: dict[str, Tensor]) -> Any:
    from peft import PeftModel, set_peft_model_state_dict

    try:
        wrapped = PeftModel(model, config)
        found: Any = set_peft_model_state_dict(wrapped, tensors)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"the adapter does not fit the model ({str(error).strip().splitlines()[0]})") from None
    missing = [name for name in found.missing_keys if "lora_" in name]
    if missing or found.unexpected_keys:
        raise UserError(
            f"the adapter does not fit the model: {len(missing)} of its matrices are missing in the file, "
            f"{len(found.unexpected_keys)} belong to no layer (such as {[*missing, *found.unexpected_keys][0]}); give "
            "the model that it was trained on as --model_path"
        )
    return wrapped.merge_and_unload()
