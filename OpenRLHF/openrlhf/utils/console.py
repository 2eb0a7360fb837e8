"""What a run says to whoever watches it. While `one_voice` lasts, everything that others print goes into a file."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO


@dataclass
class _Console:
    """out, err: the streams that the run speaks to, None for Python's own. quiet: only notes and the end are said.
    unfinished: the last line waits for its end."""

    out: TextIO | None = None
    err: TextIO | None = None
    quiet: bool = False
    notes: Path | None = None
    unfinished: bool = False


_console = _Console()


def err() -> TextIO:
    """Where progress and notes go."""
    return _console.err or sys.stderr


def is_quiet() -> bool:
    return _console.quiet


def say(text: str, *, always: bool = False) -> None:
    """A line of the run's own. always: also under -q."""
    if always or not _console.quiet:
        print(text, file=_console.out or sys.stdout, flush=True)


def note(text: str, step: int = 0) -> None:
    """Something that a user should know; also kept for the report, once `keep_notes` said where."""
    print(f"\nnote: {text}" if _console.unfinished else f"note: {text}", file=err(), flush=True)
    _console.unfinished = False
    if _console.notes is not None:
        with contextlib.suppress(OSError), _console.notes.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "note": text}, ensure_ascii=False) + "\n")


def keep_notes(path: Path | None) -> None:
    _console.notes = path


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Says what the run waits for, and how long it took."""
    if _console.quiet:
        yield
        return
    started = time.monotonic()
    print(f"{what} …", end="", file=err(), flush=True)
    _console.unfinished = True
    end = "stopped"
    try:
        yield
        end = f"{time.monotonic() - started:.0f} s"
    finally:
        print(f" {end}" if _console.unfinished else f"{what}: {end}", file=err(), flush=True)
        _console.unfinished = False


@contextlib.contextmanager
def one_voice(log: Path, *, quiet: bool = False, verbose: bool = False, append: bool = False) -> Iterator[None]:
    """The standard output and error of this process, and of those that it starts, go into `log`; `say`, `note` and
    `waiting` still reach whoever called. verbose: nothing is moved. append: what the file holds stays.
    """
    before = _Console(**vars(_console))
    _console.quiet = quiet
    try:
        with contextlib.nullcontext() if verbose else _moved(log, append):
            yield
    finally:
        vars(_console).update(vars(before))


@contextlib.contextmanager
def _moved(log: Path, append: bool) -> Iterator[None]:
    """File descriptors, since libraries in C and other processes write as well."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = (os.dup(1), os.dup(2))
    streams = (sys.stdout, sys.stderr)
    with (
        log.open("a" if append else "w", encoding="utf-8", errors="backslashreplace", buffering=1) as file,
        os.fdopen(kept[0], "w", encoding="utf-8", errors="backslashreplace", buffering=1) as out,
        os.fdopen(kept[1], "w", encoding="utf-8", errors="backslashreplace", buffering=1) as error,
    ):
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout, sys.stderr = file, file
        _console.out, _console.err = out, error
        try:
            yield
        finally:
            file.flush()
            os.dup2(out.fileno(), 1)
            os.dup2(error.fileno(), 2)
            sys.stdout, sys.stderr = streams
