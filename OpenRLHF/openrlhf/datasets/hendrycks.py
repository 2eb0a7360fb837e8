"""Reads Hendrycks MATH, from the hub or from any of the layouts in which it is passed around."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from openrlhf.datasets.files import SUFFIXES, Record, read_file, read_text
from openrlhf.errors import UserError

CONFIGURATIONS = {
    "algebra": "Algebra",
    "counting_and_probability": "Counting & Probability",
    "geometry": "Geometry",
    "intermediate_algebra": "Intermediate Algebra",
    "number_theory": "Number Theory",
    "prealgebra": "Prealgebra",
    "precalculus": "Precalculus",
}
HUB_NAME = "EleutherAI/hendrycks_math"
_ENDINGS = tuple(suffix + packed for suffix in SUFFIXES for packed in ("", ".gz"))


@dataclass(frozen=True)
class MathRow:
    """One problem as found; `level` is text such as "Level 3", `number` counts within its configuration."""

    split: str
    configuration: str
    number: int
    problem: str
    solution: str
    level: str
    type: str


def read_folder(folder: Path, splits: Sequence[str]) -> list[MathRow]:
    """All rows of the splits, from the first of these layouts that the folder has for a split:

    `hendrycks_math_{split}.jsonl` (or another kind of data file, .gz too), all configurations in it;
    `{split}/{configuration}/*.json`, one problem per file: the original release;
    one data file per configuration: `{split}/{configuration}.*`, `{configuration}/{split}.*` (also as the
    hub's `{split}-00000-of-00001.parquet`), `{configuration}_{split}.*`, or `{configuration}.*` for train.

    UserError: the folder, a configuration or a field is missing, or a file is damaged.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        raise UserError(f"--data_dir {folder}: there is no such folder")
    return [row for split in splits for row in _read_split(folder, split)]


def read_hub(name: str, splits: Sequence[str]) -> list[MathRow]:
    """All rows of the splits, all seven configurations, through the datasets library.

    UserError: the hub does not answer, or has no such data set, configuration or split.
    """
    import datasets

    rows: list[MathRow] = []
    for split in splits:
        for configuration in CONFIGURATIONS:
            try:
                found = datasets.load_dataset(name, configuration, split=split)
            except Exception as error:  # network, authorisation and format errors share no base class
                reason = (str(error).strip().splitlines() or ["no message"])[0]
                raise UserError(
                    f"{name}, configuration {configuration}, split {split}: the Hugging Face hub did not give"
                    f" it ({type(error).__name__}: {reason}). Without a network give a local copy with"
                    " --data_dir; --dataset names another data set on the hub"
                ) from error
            rows += _rows(found.to_list(), split, configuration, f"{name}, {configuration}, {split}")
    return rows


def _read_split(folder: Path, split: str) -> list[MathRow]:
    whole = _data_file(folder, f"hendrycks_math_{split}")
    if whole:
        return list(_rows(read_file(whole), split, None, str(whole)))
    rows: list[MathRow] = []
    missing = []
    for configuration in CONFIGURATIONS:
        problems = sorted((folder / split / configuration).glob("*.json"), key=_by_number)
        file = _configuration_file(folder, split, configuration)
        if problems:
            rows += _rows(_single_problems(problems), split, configuration, str(problems[0].parent))
        elif file:
            rows += _rows(read_file(file), split, configuration, str(file))
        else:
            missing.append(configuration)
    if missing:
        raise UserError(
            f"{folder} has no {split} rows of {', '.join(missing)}. Expected"
            f" hendrycks_math_{split}.jsonl(.gz) with all configurations, {split}/{missing[0]}/*.json as in"
            f" the original release, or one file per configuration such as {split}/{missing[0]}.jsonl; found"
            f" {_listing(folder)}"
        )
    return rows


def _configuration_file(folder: Path, split: str, configuration: str) -> Path | None:
    shards = sorted((folder / configuration).glob(f"{split}-*-of-*.parquet"))
    if len(shards) > 1:
        raise UserError(f"{shards[0].parent}: {len(shards)} shards of {split}; join them into one file")
    return (
        _data_file(folder / split, configuration)
        or _data_file(folder / configuration, split)
        or (shards[0] if shards else None)
        or _data_file(folder, f"{configuration}_{split}")
        or (_data_file(folder, configuration) if split == "train" else None)
    )


def _data_file(folder: Path, stem: str) -> Path | None:
    paths = (folder / (stem + ending) for ending in _ENDINGS)
    return next((path for path in paths if path.is_file()), None)


def _single_problems(files: list[Path]) -> Iterator[Record]:
    """The original release has one JSON object per file, over several lines."""
    import json

    for file in files:
        try:
            yield json.loads(read_text(file))
        except json.JSONDecodeError as error:
            raise UserError(f"{file}, line {error.lineno}: not JSON ({error.msg})") from error


def _rows(records: Iterable[Record], split: str, configuration: str | None, where: str) -> list[MathRow]:
    """Checks the fields. Without a configuration it comes from each row's `config`, or from its `type`."""
    names = {display: name for name, display in CONFIGURATIONS.items()}
    rows = []
    numbers: dict[str, int] = {}
    for position, record in enumerate(records):
        fields = {}
        for key in ("problem", "solution", "level", "type"):
            value = record.get(key) if isinstance(record, dict) else None
            if not isinstance(value, str) and not (key == "level" and isinstance(value, int)):
                found = ", ".join(record) if isinstance(record, dict) else type(record).__name__
                raise UserError(
                    f"{where}, row {position}: there is no text in the field {key!r}; needed are problem,"
                    f" solution, level and type, found {found}"
                )
            fields[key] = str(value)
        name = configuration or str(record.get("config") or names.get(fields["type"], fields["type"]))
        number = numbers.get(name, 0)
        numbers[name] = number + 1
        rows.append(MathRow(split, name, number, **fields))
    return rows


def _by_number(path: Path) -> tuple[int, str]:
    return (int(path.stem) if path.stem.isdigit() else 0, path.name)


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return (", ".join(names[:8]) + (", …" if len(names) > 8 else "")) or "an empty folder"
