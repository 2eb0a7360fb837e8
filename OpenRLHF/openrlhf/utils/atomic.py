"""Files and folders that are either there in full or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Writes `text` (UTF-8) under a temporary name beside `path` and renames it. Makes missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(path)
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill; it replaces `path`, and what was there, when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(path)
    temporary.mkdir()
    try:
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def partial(folder: Path) -> Path:
    """Where `folder` is written before it is complete."""
    return folder.with_name(folder.name + ".partial")


def publish(folder: Path) -> None:
    """Gives a complete folder its name, replacing one that an earlier run left under the same name."""
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(partial(folder), folder)
