"""Files and folders that are either there in full or not at all."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Writes `text` (UTF-8) under a temporary name beside `path` and renames it. Makes missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(path)
    _clear(path.parent, f".{path.name}")
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
    _clear(path.parent, f".{path.name}")
    temporary.mkdir()
    try:
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def filled(folder: Path, replaced: Sequence[str]) -> Iterator[Path]:
    """An empty folder to fill; it then becomes `folder`, or its entries move into an old one.

    In the second case it lies within `folder`, which may be a mount point: from outside nothing is renamed into one.
    replaced: patterns of names in `folder` that go, unless they were written anew; everything else stays.
    """
    if not folder.exists():
        with new_folder(folder) as temporary:
            yield temporary
        return
    temporary = folder / f".{os.getpid()}.tmp"
    _clear(folder, "")
    try:
        temporary.mkdir()
        yield temporary
        written = {entry.name for entry in temporary.iterdir()}
        for entry in list(folder.iterdir()):
            if entry.name not in written and any(fnmatch(entry.name, pattern) for pattern in replaced):
                _remove(entry)
        for entry in sorted(temporary.iterdir()):
            if entry.is_dir():
                _remove(folder / entry.name)
            os.replace(entry, folder / entry.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _clear(parent: Path, name: str) -> None:
    """Removes what processes that were killed while they wrote `name` have left: it may be as large as a model."""
    kind = re.compile(re.escape(name) + r"\.(\d+)\.tmp$")
    for entry in list(parent.iterdir()):
        match = kind.fullmatch(entry.name)
        if match and (int(match[1]) == os.getpid() or not Path(f"/proc/{match[1]}").exists()):
            _remove(entry)


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
