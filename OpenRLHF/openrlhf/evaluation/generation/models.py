"""Where a model is, what its weights are, and whether it fits on this machine."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openrlhf.errors import UserError

_WEIGHTS = ("*.safetensors", "*.bin")
_PROBES = 32
_PROBE_BYTES = 1 << 16
# Weights, activations and a small cache need this much memory beyond the weights themselves.
_HEADROOM = 1.25


def require_model(name: str | None) -> str:
    """The folder or hub name, checked without loading anything. Raises UserError."""
    if not name:
        raise UserError("--model_name_or_path is needed: a folder in Hugging Face format, or a name on the hub")
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"{path} holds no config.json; --model_name_or_path wants a Hugging Face folder")
        if not any(file for pattern in _WEIGHTS for file in path.glob(pattern)):
            raise UserError(f"{path} holds no weights (*.safetensors); was the model saved completely?")
        return str(path)
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"--model_name_or_path {name}: no such folder")
    if cached(name) is None and not hub_has(name):
        raise UserError(
            f"{name} is neither a folder here nor in the hub's cache, and the hub cannot be reached or lacks "
            "it. Download it on a machine with network, and give its folder as --model_name_or_path"
        )
    return name


def cached(name: str) -> Path | None:
    """The snapshot of a hub model in the local cache."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name, "config.json")
    except ValueError:  # not a name that a hub repository can have
        return None
    return Path(found).parent if isinstance(found, str) else None


def hub_has(name: str, timeout: float = 10.0) -> bool:
    """Whether the hub can be reached and has this model."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(name, timeout=timeout)
    except Exception:  # no network, no such model, no access: all the same here
        return False
    return True


def fingerprint(name: str) -> str:
    """Tells models apart whose folders have the same name: a digest of the configuration and of samples of
    the weights, so that a folder that was trained further is not taken for its former self. A hub name stands
    for itself.
    """
    path = Path(name).expanduser()
    if not path.is_dir():
        return name
    digest = hashlib.blake2b((path / "config.json").read_bytes(), digest_size=12)
    for file in sorted(file for pattern in _WEIGHTS for file in path.glob(pattern)):
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}".encode())
        with open(file, "rb") as weights:
            for probe in range(_PROBES):
                weights.seek(max(size - _PROBE_BYTES, 0) * probe // (_PROBES - 1))
                digest.update(weights.read(_PROBE_BYTES))
    return digest.hexdigest()


def load_tokenizer(name: str) -> Any:
    """Only the tokenizer, no code from the model's folder."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot load a tokenizer from {name}: {error}") from error


@dataclass(frozen=True)
class Fit:
    """Whether a model can run here, on how many GPUs per copy, and the sentence that says so."""

    fits: bool
    tensor_parallel_size: int
    reason: str


def fit(name: str) -> Fit:
    """Compares the model's weights with the memory of the GPUs at hand, or of the machine without one."""
    try:
        require_model(name)
    except UserError as error:
        return Fit(False, 1, str(error))
    needed = weight_bytes(name)
    if needed is None:
        return Fit(True, 1, f"{name}: size unknown, trying")
    needed = int(needed * _HEADROOM)
    gpus = gpu_memory()
    if not gpus:
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        verdict = "fits" if needed <= available else "does not fit"
        sizes = f"about {_gb(needed)} of {_gb(available)} memory, no GPU"
        return Fit(needed <= available, 1, f"{name} {verdict}: {sizes}")
    size = 1
    while size <= len(gpus):
        if needed <= size * min(gpus):
            return Fit(True, size, f"{name} fits: about {_gb(needed)} on {size} of {len(gpus)} GPUs")
        size *= 2
    listed = f"{len(gpus)} GPUs with {_gb(min(gpus))} each"
    return Fit(False, size // 2, f"{name} does not fit: about {_gb(needed)} needed, {listed}")


def weight_bytes(name: str) -> int | None:
    """Bytes of the weights: of the files, where they are here, else by the size in the name, in 16 bits."""
    folder = Path(name).expanduser()
    folder = folder if folder.is_dir() else cached(name) or folder
    if folder.is_dir():
        if (index := folder / "model.safetensors.index.json").is_file():
            return int(json.loads(index.read_text(encoding="utf-8"))["metadata"]["total_size"])
        if sizes := [file.stat().st_size for pattern in _WEIGHTS for file in folder.glob(pattern)]:
            return sum(sizes)
    billions = re.search(r"(\d+(?:\.\d+)?)[Bb]\b", name)
    return int(float(billions[1]) * 2e9) if billions else None


def gpu_memory() -> list[int]:
    """Bytes of memory of each GPU that CUDA_VISIBLE_DEVICES leaves; empty without a GPU. Imports no CUDA."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    result = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)
    sizes = [int(line) << 20 for line in result.stdout.split() if line.isdigit()] if result.returncode == 0 else []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return sizes
    chosen = [part.strip() for part in visible.split(",") if part.strip() and part.strip() != "-1"]
    # A device may be named by its number or by its UUID; of the latter only how many there are is used.
    return [sizes[int(c)] if c.isdigit() and int(c) < len(sizes) else min(sizes) for c in chosen] if sizes else []


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def main() -> int:
    """`python3 -m openrlhf.evaluation.generation.models MODEL`: prints GPUs per copy; status 3 if it does not fit."""
    import sys

    if len(sys.argv) != 2:
        print("usage: python3 -m openrlhf.evaluation.generation.models MODEL", file=sys.stderr)
        return 2
    verdict = fit(sys.argv[1])
    print(verdict.reason, file=sys.stderr)
    print(verdict.tensor_parallel_size)
    return 0 if verdict.fits else 3


if __name__ == "__main__":
    raise SystemExit(main())
