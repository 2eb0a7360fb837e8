"""Every rollout of a run, one parquet file per step (--save_rollouts): docs/rollouts.md gives the schema."""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openrlhf.errors import UserError
from openrlhf.experience.rollout import Rollout

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "rollouts"
VERSION = 1
# A method's numbers per token, of whatever name, in columns of their own: column_advantage, column_old_logprob, …
COLUMN = "column_"
_NAME = re.compile(r"step_(\d+)\.parquet")
_KINDS = {
    "step": "int32",
    "prompt_index": "int64",
    "sample": "int32",
    "prompt": "text",
    "prompt_ids": "ids",
    "label": "text",
    "text": "text",
    "token_ids": "ids",
    "engine_logprobs": "numbers",
    "reward": "float64",
    "finish_reason": "text",
    "trained": "bool",
    "guided": "bool",
    "hint_ids": "lists",
    "versions": "ids",
}
FIELDS = tuple(_KINDS)


@dataclass(frozen=True)
class RolloutFile:
    """One step's rollouts. origin: what they came from (`origin_of`). rows: by the names in FIELDS, and column_…."""

    path: Path
    step: int
    origin: Mapping[str, Any]
    rows: list[dict[str, Any]]

    def columns(self, row: Mapping[str, Any]) -> dict[str, list[float]]:
        """A rollout's numbers per token, by the names that the method gave them."""
        found = {name.removeprefix(COLUMN): own for name, own in row.items() if name.startswith(COLUMN)}
        return {name: own for name, own in found.items() if own is not None}


class RolloutWriter:
    """Writes each step's file whole. origin: as `origin_of` gives it."""

    def __init__(self, folder: Path, origin: Mapping[str, Any]) -> None:
        self._folder = folder
        self._origin = origin

    def truncate_to(self, step: int) -> None:
        """Removes the files of later steps, which a continued run writes again, and what a killed one left."""
        for number, path in steps_in(self._folder).items():
            if number > step:
                path.unlink()
        for path in self._folder.glob(".step_*.tmp"):
            path.unlink()

    def write(self, step: int, rollouts: Sequence[Rollout]) -> None:
        """rollouts: of the step, as they were assembled for training."""
        import pyarrow.parquet as pq

        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"step_{step:06d}.parquet"
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            pq.write_table(_table(step, rollouts, self._origin), temporary, compression="zstd")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def origin_of(model: str, tokenizer: Any, run: str) -> dict[str, Any]:
    """What a replay compares. model: the folder or name of the starting model."""
    vocabulary = json.dumps(sorted(tokenizer.get_vocab().items())).encode()
    return {"model": model, "run": run, "vocabulary": hashlib.sha256(vocabulary).hexdigest()}


def rollout_folder(where: Path) -> Path:
    """The folder of the files themselves, from that or from a run's folder. UserError: there are none in it."""
    for folder in (where / FOLDER, where):
        if steps_in(folder):
            return folder
    what = "holds no step_*.parquet files" if where.is_dir() else "is no folder"
    raise UserError(f"{where} {what}: give the folder of a run that had --save_rollouts")


def steps_in(folder: Path) -> dict[int, Path]:
    """The files by step, in order."""
    found = {path: _NAME.fullmatch(path.name) for path in folder.glob("step_*.parquet")}
    return dict(sorted((int(match[1]), path) for path, match in found.items() if match))


def read_steps(folder: Path, steps: Sequence[int] | None = None) -> Iterator[RolloutFile]:
    """One after the other; all of them, or those asked for that there are."""
    for step, path in steps_in(folder).items():
        if steps is None or step in steps:
            yield read_file(path)


def read_file(path: Path) -> RolloutFile:
    """UserError: not such a file, or one that another version of the program wrote."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} cannot be read as parquet: {str(error).splitlines()[0]}") from None
    said = (table.schema.metadata or {}).get(b"openrlhf")
    try:
        about = json.loads(said or b"null")
        version, step, origin = about["version"], about["step"], about["origin"]
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{path} holds no rollouts of --save_rollouts: its schema does not say so") from None
    missing = [name for name in FIELDS if name not in table.column_names]
    if version != VERSION or missing:
        lacks = f", lacks {', '.join(missing)}" if missing else ""
        raise UserError(f"{path} has version {version} of the schema{lacks}; this program reads version {VERSION}")
    return RolloutFile(path, step, origin, table.to_pylist())


def _table(step: int, rollouts: Sequence[Rollout], origin: Mapping[str, Any]) -> "pa.Table":
    import pyarrow as pa

    numbers = pa.list_(pa.float32())
    ids = pa.list_(pa.int32())
    kinds = {"text": pa.string(), "ids": ids, "lists": pa.list_(ids), "numbers": numbers}
    kinds |= {"int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
    names = sorted({name for rollout in rollouts for name in rollout.columns})
    about = json.dumps({"version": VERSION, "step": step, "origin": dict(origin)})
    fields = [pa.field(name, kinds[kind]) for name, kind in _KINDS.items()]
    fields += [pa.field(COLUMN + name, numbers) for name in names]
    rows = [_row(step, rollout, names) for rollout in rollouts]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields, metadata={"openrlhf": about}))


def _row(step: int, rollout: Rollout, names: Sequence[str]) -> dict[str, Any]:
    prompt = rollout.prompt
    return {
        "step": step,
        "prompt_index": prompt.index,
        "sample": rollout.sample,
        "prompt": _clean(prompt.text),
        "prompt_ids": prompt.token_ids,
        "label": _clean(prompt.label),
        "text": _clean(rollout.text),
        "token_ids": rollout.token_ids,
        "engine_logprobs": rollout.logprobs,
        "reward": None if math.isnan(rollout.reward) else rollout.reward,
        "finish_reason": rollout.finish_reason,
        "trained": rollout.trained,
        "guided": rollout.guided,
        "hint_ids": rollout.hints,
        "versions": rollout.versions,
        **{COLUMN + name: list(rollout.columns[name]) if name in rollout.columns else None for name in names},
    }


def _clean(text: str) -> str:
    """Half a surrogate pair, which JSON data may hold, has no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
