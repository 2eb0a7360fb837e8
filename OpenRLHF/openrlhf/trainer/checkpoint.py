"""Checkpoints that are complete or not there: written under another name, renamed, and only then are old ones gone."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from openrlhf.errors import UserError
from openrlhf.utils.atomic import publish, write_atomically

STATE_FILE = "trainer_state.json"
_TAG = re.compile(r"global_step(\d+)$")
_HF_COPY = re.compile(r"global_step(\d+)_hf$")


def tag_of(step: int) -> str:
    return f"global_step{step}"


def publish_checkpoint(parent: Path, step: int, keep: int) -> None:
    """Makes the partial checkpoint of `step` the latest one and removes the oldest beyond `keep`."""
    publish(parent / tag_of(step))
    write_atomically(parent / "latest", tag_of(step))
    rotate_checkpoints(parent, keep)


def rotate_checkpoints(parent: Path, keep: int) -> None:
    rotate(parent, _TAG, keep)


def rotate(parent: Path, pattern: re.Pattern, keep: int) -> None:
    """Keeps the newest `keep` folders that match, by step; 0 or less keeps all."""
    found = _by_step(parent, pattern)
    for _, folder in found[:-keep] if keep > 0 else []:
        shutil.rmtree(folder, ignore_errors=True)


def rotate_hf_copies(parent: Path, keep: int) -> None:
    rotate(parent, _HF_COPY, keep)


def limit_size(parent: Path, gigabytes: float) -> None:
    """Removes the oldest checkpoints and Hugging Face copies until all of them together take at most so many GB (10⁹
    bytes); the newest of each kind stays in any case."""
    kinds = [_by_step(parent, pattern) for pattern in (_TAG, _HF_COPY)]
    removable = sorted(entry for kind in kinds for entry in kind[:-1])
    total = sum(_size(folder) for kind in kinds for _, folder in kind)
    for _, folder in removable:
        if total <= gigabytes * 1e9:
            return
        total -= _size(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _by_step(parent: Path, pattern: re.Pattern) -> list[tuple[int, Path]]:
    """Folders that match, oldest first."""
    return sorted((int(m.group(1)), f) for f in parent.iterdir() if (m := pattern.match(f.name)))


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def latest_state(parent: Path) -> tuple[str, dict[str, Any]] | None:
    """Tag and saved trainer state of the newest complete checkpoint below `parent`, or None where there is none.

    Raises:
        UserError: `latest` names a checkpoint that is not there or is incomplete.
    """
    pointer = parent / "latest"
    if not pointer.is_file():
        return None
    tag = pointer.read_text(encoding="utf-8").strip()
    state_file = parent / tag / STATE_FILE
    if not _TAG.match(tag) or not state_file.is_file():
        raise UserError(
            f"{pointer} names {tag!r}, but {state_file} is not there; write the name of a complete checkpoint into "
            f"{pointer}, or remove it to start anew"
        )
    return tag, json.loads(state_file.read_text(encoding="utf-8"))
