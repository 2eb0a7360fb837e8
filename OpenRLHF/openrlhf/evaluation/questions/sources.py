"""Finds a benchmark's rows: a local file first, then the hub; says what to do where there is neither."""

import functools
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from openrlhf.errors import UserError
from openrlhf.evaluation.questions.benchmarks import BENCHMARKS, Benchmark, benchmark
from openrlhf.evaluation.questions.fields import Row, RowError
from openrlhf.evaluation.questions.problems import Problem

_SUFFIXES = (".jsonl", ".jsonl.gz", ".json")


@dataclass(frozen=True)
class Found:
    """A benchmark's problems, and where they were read."""

    name: str
    problems: list[Problem]
    origin: str


@dataclass(frozen=True)
class Missing:
    """A benchmark that is not to be had, and what to do about it."""

    name: str
    advice: str


def find(name: str, data_dir: Path, split: str) -> Found | Missing:
    """Reads one benchmark. Raises UserError for a file that is there and cannot be read."""
    entry = benchmark(name)
    if path := local_file(entry, data_dir, split):
        return Found(name, read_problems(entry, path), str(path))
    advice = f"{name}: put {data_dir / name / (split + '.jsonl')} there (one JSON object a line)"
    if entry.hub is None:
        return Missing(name, advice + "; this project knows no hub copy of it")
    try:
        rows = list(_hub_rows(entry, split))
    except Exception as error:  # the hub client raises what its many layers raise; none of it is ours to mend
        if not hub_within_reach():
            return Missing(name, f"{advice}, or give access to the hub ({entry.hub.dataset}); it is out of reach")
        reason = str(error).strip().split("\n", 1)[0][:160]
        return Missing(name, f"{advice}; the hub ({entry.hub.dataset}) gave {type(error).__name__}: {reason}")
    return Found(name, _problems(entry, rows, entry.hub.dataset), f"hub: {entry.hub.dataset}")


def local_names(data_dir: Path, split: str) -> list[str]:
    """The table's benchmarks that have a file under `data_dir`, in the table's order."""
    return [name for name, entry in BENCHMARKS.items() if local_file(entry, data_dir, split)]


def local_file(entry: Benchmark, data_dir: Path, split: str) -> Path | None:
    """`{set}/{split}`, `{set}_{split}`, or `{set}` (the test split); in `data_dir` or its `other/`."""
    for folder in (data_dir, data_dir / "other"):
        for stem in (entry.name, *entry.files):
            names = [f"{stem}/{split}", f"{stem}_{split}"] + ([stem] if split == "test" else [])
            for name in names:
                for suffix in _SUFFIXES:
                    if (path := folder / f"{name}{suffix}").is_file():
                        return path
    return None


def read_problems(entry: Benchmark, path: Path) -> list[Problem]:
    """Raises UserError with the line that could not be read."""
    return _problems(entry, list(read_rows(path)), str(path))


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of a .jsonl, .jsonl.gz or .json (a list) file. Lines end at "\\n" only: some rows hold U+2028."""
    opener = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opener(path, "rt", encoding="utf-8", newline="\n") as file:
            if path.suffix == ".json":
                yield from json.load(file)
                return
            for line in file:
                number += 1
                if line.strip():
                    yield json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError, EOFError, OSError) as error:
        where = f", line {number}" if number else ""
        raise UserError(f"cannot read {path}{where}: {error}. One JSON object a line is expected") from error


def _problems(entry: Benchmark, rows: list[Row], origin: str) -> list[Problem]:
    if not rows:
        raise UserError(f"{origin} holds no rows; {entry.name} cannot be evaluated on it")
    problems = []
    for index, row in enumerate(rows):
        try:
            problems.append(entry.problem(index, row))
        except (RowError, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"field {error} is missing" if isinstance(error, KeyError) else str(error)
            raise UserError(f"{origin}, row {index}, does not look like {entry.name}: {reason}") from error
    return problems


@functools.cache
def hub_within_reach() -> bool:
    """Asked once: without network the hub's client would try for half a minute for every set."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=10)
    except Exception:  # whatever the client raises: there is no way to the hub
        return False
    return True


def _hub_rows(entry: Benchmark, split: str) -> Iterator[Row]:
    """The test split has another name on the hub for some sets; other splits keep their names."""
    from huggingface_hub import constants

    import datasets

    assert entry.hub is not None
    if not hub_within_reach():  # what an earlier run left in the cache is still found
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    on_hub = entry.hub.split if split == "test" else split
    for config in entry.hub.configs or (None,):
        yield from datasets.load_dataset(entry.hub.dataset, config, split=on_hub)
