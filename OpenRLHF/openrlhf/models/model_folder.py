"""What can be seen of a model's folder without loading it: files, headers, sizes, the tokenizer. Imports no torch.

Names on the hub are left to transformers: their files are not here yet.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openrlhf.errors import UserError

_INDEX, _SINGLE = "model.safetensors.index.json", "model.safetensors"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
_EMBEDDING = re.compile(r"(?:^|\.)(?:embed_tokens|wte|word_embeddings|embed_in|tok_embeddings)\.weight$")
_LAYER = re.compile(r"(?:^|\.)(?:layers|h)\.(\d+)\.")
_LONGEST_HEADER = 100 << 20  # as safetensors itself allows


def check_model_folder(path: str, flag: str, *, tokenizer: bool = True) -> None:
    """
    tokenizer: whether it is needed, too.

    Raises:
        UserError: there is no such folder, or a file in it is missing, cut, or of another model than config.json says.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        if folder.exists() or path.startswith(("/", ".", "~")) or path.count("/") > 1:
            raise UserError(f"--{flag} {path}: there is no such folder; give a model's folder or its name on the hub")
        return
    try:
        config = _json(folder / "config.json")
        text = config.get("text_config", config)
        if (folder / _INDEX).is_file() or (folder / _SINGLE).is_file():
            _check_shapes(_tensors(folder), text if isinstance(text, dict) else config)
        elif not any(folder.glob("pytorch_model*.bin")) and not (folder / "adapter_config.json").is_file():
            raise ValueError(f"there are no weights ({_SINGLE} or {_INDEX})")
        if tokenizer:
            _check_tokenizer(folder, text.get("vocab_size") if isinstance(text, dict) else None)
    except ValueError as error:
        raise UserError(f"--{flag} {path}: {error}") from None


def _tensors(folder: Path) -> dict[str, list[int]]:
    """Shapes by name, of all files."""
    if not (folder / _INDEX).is_file():
        return _header(folder / _SINGLE)
    where = _json(folder / _INDEX).get("weight_map")
    if not isinstance(where, dict) or not all(isinstance(name, str) for name in where.values()):
        raise ValueError(f"{_INDEX} has no weight_map of names")
    headers = {name: _header(folder / name) for name in sorted(set(where.values()))}
    for tensor, name in where.items():
        if tensor not in headers[name]:
            raise ValueError(f"{name} does not hold {tensor}, which {_INDEX} says: copy the model again")
    return {tensor: headers[name][tensor] for tensor, name in where.items()}


def _header(file: Path) -> dict[str, list[int]]:
    """Shapes by name. ValueError: the file is missing, cut, or no safetensors file."""
    if not file.is_file():
        raise ValueError(f"{file.name} is missing: copy the model again")
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST_HEADER):
            raise ValueError(f"{file.name} is cut or no safetensors file ({size} bytes): copy the model again")
        try:
            header = json.loads(stream.read(length))
            tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
            end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
            shapes = {name: list(entry["shape"]) for name, entry in tensors.items()}
        except (ValueError, AttributeError, KeyError, TypeError, IndexError):
            raise ValueError(f"{file.name} has no readable header: copy the model again") from None
    if size != 8 + length + end:
        raise ValueError(f"{file.name} has {size} bytes instead of {8 + length + end}: copy the model again")
    return shapes


def _check_shapes(shapes: Mapping[str, list[int]], config: Mapping[str, Any]) -> None:
    """Against the sizes that config.json says."""
    wanted = [config.get("vocab_size"), config.get("hidden_size")]
    for name, shape in shapes.items():
        if _EMBEDDING.search(name) and all(isinstance(one, int) for one in wanted) and shape != wanted:
            raise ValueError(f"{name} has the shape {shape}, but config.json says {wanted} (vocab_size, hidden_size)")
    layers = {int(found.group(1)) for name in shapes if (found := _LAYER.search(name))}
    said = config.get("num_hidden_layers")
    if layers and isinstance(said, int) and len(layers) < said:
        raise ValueError(f"the weights are of {len(layers)} layers, but config.json says {said} (num_hidden_layers)")


def _check_tokenizer(folder: Path, vocabulary: Any) -> None:
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise ValueError("there is no tokenizer: save it beside the model (tokenizer.json)")
    if not (folder / "tokenizer.json").is_file() or not isinstance(vocabulary, int):
        return
    stored = _json(folder / "tokenizer.json")
    try:
        added = {entry["content"]: entry["id"] for entry in stored.get("added_tokens") or ()}
    except (TypeError, KeyError):
        raise ValueError("tokenizer.json has added_tokens without content and id") from None
    words = stored.get("model", {}).get("vocab", {})
    highest = max(words.values(), default=-1) if isinstance(words, dict) else len(words) - 1
    for token, number in added.items():
        if number >= vocabulary:
            raise ValueError(
                f"the tokenizer's added token {token!r} has the id {number}, but the embedding ends at"
                f" {vocabulary - 1}: resize the embedding, or take the tokenizer of this model"
            )
    if highest >= vocabulary:
        raise ValueError(f"the tokenizer has ids up to {highest}, but the embedding ends at {vocabulary - 1}")


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"there is no {file.name}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{file.name} cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file.name} holds no object")
    return found
