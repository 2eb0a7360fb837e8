"""Checkpoints that are complete or not there: written under another name, renamed, and only then are old ones gone."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from openrlhf.config.errors import UserError
from openrlhf.utils.atomic import write_atomically

STATE_FILE = "trainer_state.json"
_TAG = re.compile(r"global_step(\d+)$")
_HF_COPY = re.compile(r"global_step(\d+)_hf$")


def tag_of(step: int) -> str:
    return f"global_step{step}"


def partial(folder: Path) -> Path:
    """Where `folder` is written before it is complete."""
    return folder.with_name(folder.name + ".partial")


def publish(folder: Path) -> None:
    """Gives a complete folder its name, replacing one that an earlier run left under the same name."""
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(partial(folder), folder)


def publish_checkpoint(parent: Path, step: int, keep: int) -> None:
    """Makes the partial checkpoint of `step` the latest one and removes the oldest beyond `keep`."""
    publish(parent / tag_of(step))
    write_atomically(parent / "latest", tag_of(step))
    rotate_checkpoints(parent, keep)


def rotate_checkpoints(parent: Path, keep: int) -> None:
    rotate(parent, _TAG, keep)


def rotate(parent: Path, pattern: re.Pattern, keep: int) -> None:
    """Keeps the newest `keep` folders that match, by step; 0 or less keeps all."""
    found = sorted((int(m.group(1)), f) for f in parent.iterdir() if (m := pattern.match(f.name)))
    for _, folder in found[:-keep] if keep > 0 else []:
        shutil.rmtree(folder, ignore_errors=True)


def rotate_hf_copies(parent: Path, keep: int) -> None:
    rotate(parent, _HF_COPY, keep)


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
