"""Checkpoints that are complete or not there: written under another name, renamed, and only then are old ones gone."""

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from openrlhf.config.reinforcement import RLConfig
from openrlhf.errors import UserError
from openrlhf.utils.atomic import partial, publish, write_atomically

S = TypeVar("S")

STATE_FILE = "trainer_state.json"
UNSAVED = "final_model"  # where a model lies that could not be written to --save_path
_TAG = re.compile(r"global_step(\d+)$")
_HF_COPY = re.compile(r"global_step(\d+)_hf$")
_UNFINISHED = re.compile(r"global_step(\d+)\.partial$")


def tag_of(step: int) -> str:
    return f"global_step{step}"


def checkpoint_folders(config: RLConfig) -> list[Path]:
    """Of the policy, and of the critic where there is one."""
    parent = Path(config.checkpoint.ckpt_path)
    return [parent / "_actor", *([parent / "_critic"] if config.has_critic else [])]


@dataclasses.dataclass(frozen=True)
class Record:
    """What stands in a checkpoint beside the shards. run: whose it is. state: the loop's own, JSON values. settings:
    by flag, after the rules. ranks: how many wrote it. files: the size of each other file, by name."""

    run: str
    state: dict[str, Any]
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    ranks: int = 1
    files: dict[str, int] = dataclasses.field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Into a checkpoint whose other files are all there."""
        found = {str(file.relative_to(folder)): file.stat().st_size for file in _files(folder)}
        record = dataclasses.replace(self, files=found)
        (folder / STATE_FILE).write_text(json.dumps(dataclasses.asdict(record)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Record":
        """
        Raises:
            ValueError: what is wrong with this checkpoint.
        """
        try:
            found = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{STATE_FILE} cannot be read ({error})") from None
        record = typed(cls, found, STATE_FILE)
        for name, size in record.files.items():
            file = folder / name
            if not file.is_file() or file.stat().st_size != size:
                there = f"{file.stat().st_size} bytes" if file.is_file() else "nothing"
                raise ValueError(f"{name} should have {size} bytes, found {there}")
        return record


@dataclasses.dataclass(frozen=True)
class Saved(Generic[S]):
    """A checkpoint to continue from. state: the loop's, with its types. notes: what was passed over, and why."""

    tag: str
    record: Record
    state: S
    notes: tuple[str, ...] = ()


def typed(kind: type[S], values: Any, what: str) -> S:
    """A dataclass from what JSON gave. ValueError: another shape, or a value of another type."""
    hints = get_type_hints(kind)
    if not isinstance(values, dict) or not values.keys() <= hints.keys():
        raise ValueError(f"{what} holds something else than {', '.join(hints)}")
    for name, value in values.items():
        wanted = get_origin(hints[name]) or hints[name]
        inner = (get_args(hints[name]) or (str, Any))[1] if wanted is dict else Any
        if not _is(value, wanted) or (inner is not Any and not all(_is(one, inner) for one in value.values())):
            raise ValueError(f"{what}: {name} is {value!r}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{what}: {error}") from None


def _is(value: Any, wanted: type) -> bool:
    """Whole numbers are numbers; truth values are none."""
    kinds = (int, float) if wanted is float else (wanted,)
    return isinstance(value, kinds) and (wanted is bool or not isinstance(value, bool))


def publish_checkpoint(parent: Path, step: int, keep: int, run: str = "") -> None:
    """Makes the partial checkpoint of `step` the latest one and removes the run's oldest beyond `keep`."""
    publish(parent / tag_of(step))
    write_atomically(parent / "latest", tag_of(step))
    rotate_checkpoints(parent, keep, step, run)


def rotate_checkpoints(parent: Path, keep: int, step: int, run: str) -> None:
    """Keeps the newest `keep` of the run's checkpoints up to `step`; 0 or less keeps all.

    Those of other runs stay, and so do later ones, which a run that was continued from an earlier step left behind.
    """
    own = [folder for number, folder in _by_step(parent, _TAG) if number <= step and _run_of(folder) == run]
    _remove_first(own, keep)
    for number, folder in _by_step(parent, _UNFINISHED):  # of runs that were killed while they wrote or removed it
        if number <= step:
            shutil.rmtree(folder, ignore_errors=True)


def rotate_hf_copies(parent: Path, keep: int, step: int) -> None:
    """As `rotate_checkpoints`, of the copies in Hugging Face's format."""
    _remove_first([folder for number, folder in _by_step(parent, _HF_COPY) if number <= step], keep)


def limit_size(parent: Path, gigabytes: float, step: int) -> None:
    """Removes the oldest checkpoints and Hugging Face copies until all of them together take at most so many GB (10⁹
    bytes); those of `step`, the newest, stay in any case."""
    found = sorted(entry for kind in (_TAG, _HF_COPY) for entry in _by_step(parent, kind))
    total = sum(_size(folder) for _, folder in found)
    for number, folder in found:
        if number >= step or total <= gigabytes * 1e9:
            return
        total -= _size(folder)
        shutil.rmtree(folder, ignore_errors=True)


def checkpoints_in(parent: Path) -> list[Path]:
    """Checkpoints and copies in Hugging Face's format, complete or not."""
    found = parent.glob("global_step*") if parent.is_dir() else ()
    return [f for f in found if any(kind.match(f.name.removesuffix(".partial")) for kind in (_TAG, _HF_COPY))]


def find_saved(parents: Sequence[Path], kind: type[S], back: int = 0) -> Saved[S] | None:
    """The newest usable checkpoint below the first of `parents`; None where there is none at all.

    It is the one that `latest` names, or where that cannot be used the one before it. parents: folders that must all
    have it, of the policy and of the critic. kind: of the loop's state. back: how many usable ones to pass over, as
    far as there are older ones.

    Raises:
        UserError: there are checkpoints, but none can be used.
    """
    notes, first = [], parents[0]
    found: Saved[S] | None = None
    steps = [number for number, _ in _by_step(first, _TAG)] if first.is_dir() else []
    if not steps:
        return None
    for step in _candidates(first, steps):
        try:
            records = [Record.read(parent / tag_of(step)) for parent in parents]
            state = typed(kind, records[0].state, STATE_FILE)
        except ValueError as error:
            notes.append(f"{first / tag_of(step)} cannot be used: {error}.")
            continue
        found = Saved(tag_of(step), records[0], state, tuple(notes))
        if back == 0:
            break
        back -= 1
    if found is not None:
        return found
    raise UserError(f"{' '.join(notes)} No other checkpoint is left: start anew with --overwrite")


def _candidates(parent: Path, steps: list[int]) -> Iterator[int]:
    """Newest first, from the one that `latest` names on."""
    try:
        named = _TAG.match((parent / "latest").read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        named = None
    newest = int(named.group(1)) if named else max(steps)
    yield from sorted({newest, *(step for step in steps if step < newest)}, reverse=True)


def _remove_first(folders: list[Path], keep: int) -> None:
    for folder in folders[:-keep] if keep > 0 else []:
        # Renamed first: half a checkpoint must not look like one.
        shutil.rmtree(partial(folder), ignore_errors=True)
        os.replace(folder, partial(folder))
        shutil.rmtree(partial(folder), ignore_errors=True)


def _by_step(parent: Path, pattern: re.Pattern) -> list[tuple[int, Path]]:
    """Folders that match, oldest first."""
    return sorted((int(m.group(1)), f) for f in parent.iterdir() if (m := pattern.match(f.name)))


def _run_of(folder: Path) -> str | None:
    """Whose checkpoint it is, damaged or not."""
    try:
        return json.loads((folder / STATE_FILE).read_text(encoding="utf-8")).get("run")
    except (OSError, ValueError, AttributeError):
        return None


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in _files(folder))
