"""Finds the rows that a data flag names: a file, a folder, or a data set on the Hugging Face hub."""

from pathlib import Path
from typing import Any

from openrlhf.datasets.files import Record, is_data_file, read_file
from openrlhf.errors import UserError

ONLY_SPLIT = "train"


def load_records(spec: str, split: str = ONLY_SPLIT, *, required: bool = True) -> list[Record]:
    """All rows of one split.

    spec: a .json, .jsonl, .csv or .parquet file (its only split is called train), a folder written by
        `save_to_disk` or laid out as on the hub, or a hub name; `name@folder` names a folder inside it.
    required: False returns no rows where the source has no such split.

    Raises UserError where nothing is found; for data scripts too, since loading one would execute its code.
    """
    spec = spec.strip()
    name, data_dir = spec, None
    if "@" in spec and not Path(spec).expanduser().exists():
        name, data_dir = (part.strip() for part in spec.split("@", 1))
    if not name:
        raise UserError(f"{spec!r}: there is no such file or data set; give a file, a folder or a hub name")
    path = Path(name).expanduser()
    _refuse_script(path)
    if is_data_file(name):
        splits: Any = {ONLY_SPLIT: path}
    elif path.is_dir():
        splits = _open_folder(path, data_dir)
    else:
        _refuse_missing_path(name)
        splits = _open_hub(name, data_dir)
    if split not in splits:
        if not required:
            return []
        raise UserError(f"{spec} has no split {split!r}; it has {', '.join(map(repr, splits))}")
    found = splits[split]
    rows = read_file(found) if isinstance(found, Path) else found.to_list()
    if not rows:
        raise UserError(f"{spec}, split {split!r}: there are no rows")
    return rows


def _open_folder(path: Path, data_dir: str | None) -> Any:
    """Splits of a folder, by name."""
    import datasets

    saved = path / data_dir if data_dir else path
    if (saved / "dataset_dict.json").is_file() or (saved / "dataset_info.json").is_file():
        stored = datasets.load_from_disk(str(saved))
        return stored if isinstance(stored, dict) else {ONLY_SPLIT: stored}
    if not saved.is_dir():
        raise UserError(f"{path}@{data_dir}: there is no folder {saved}")
    files = {file.name: file for file in sorted(saved.iterdir()) if is_data_file(file.name)}
    by_split = {name.split(".", 1)[0]: file for name, file in files.items()}
    sharded = any("-of-" in name for name in files)
    if files and len(by_split) == len(files) and not sharded:
        return by_split
    try:
        return datasets.load_dataset(str(path), data_dir=data_dir)
    except Exception as error:  # the library raises many unrelated classes here
        raise UserError(
            f"{saved}: no data set could be read from this folder ({_first_line(error)}); give a file, or a"
            " folder with one file per split, such as train.jsonl"
        ) from error


def _open_hub(name: str, data_dir: str | None) -> Any:
    """Splits of a data set on the hub, by name."""
    import datasets

    try:
        return datasets.load_dataset(name, data_dir=data_dir)
    except Exception as error:  # network, authorisation and format errors share no base class
        raise UserError(
            f"{name!r} is not a file or folder here, and the Hugging Face hub did not give it"
            f" ({_first_line(error)}). For local data check the path; without a network give a downloaded"
            " copy; for a private data set log in with `hf auth login`"
        ) from error


def _refuse_script(path: Path) -> None:
    script = path if path.suffix == ".py" else path / f"{path.name}.py"
    if path.suffix == ".py" or script.is_file():
        raise UserError(
            f"{script} is a data script: loading it would execute its code, so it is not done. Run it"
            " yourself and save its rows as JSON lines or with save_to_disk, then give that file or folder"
        )


def _refuse_missing_path(name: str) -> None:
    """Hub names look like `owner/name` or `name`; anything else was meant as a path."""
    if name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise UserError(f"{name!r}: there is no such file or folder; check the path")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0]}"
