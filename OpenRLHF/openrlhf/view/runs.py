"""What a report reads of a run's folder, finished or not."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openrlhf.config.run_file import RUN_FILE
from openrlhf.errors import UserError
from openrlhf.trainer.rollout_files import read_file, rollout_folder, steps_in
from openrlhf.trainer.run_folders import NOTES_FILE, PLAN_FILE, SAMPLES_FILE

METRICS_FILE = "metrics.jsonl"
_RATIONALES, _CHARACTERS = 600, 6000


@dataclass(frozen=True)
class Run:
    """metrics: by step, each row {name: finite number}. rationales: JSON objects, some of every part of the run.

    settings: by flag or path, as run.yaml has them. notes: (step, sentence); step 0 is the start.
    """

    name: str
    folder: Path
    command: str
    metrics: Mapping[int, Mapping[str, float]]
    rationales: Sequence[Mapping[str, Any]] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    plan: str = ""
    notes: Sequence[tuple[int, str]] = ()

    def names(self) -> list[str]:
        """Of its metrics, in the order in which they first appeared."""
        return list(dict.fromkeys(name for row in self.metrics.values() for name in row))

    def series(self, name: str) -> tuple[list[int], list[float]]:
        pairs = [(step, row[name]) for step, row in self.metrics.items() if name in row]
        return [step for step, _ in pairs], [value for _, value in pairs]


def read_run(where: Path, name: str | None = None) -> Run:
    """where: a run's folder, or its metrics file. UserError: it holds no metrics."""
    folder, metrics = (where, where / METRICS_FILE) if where.is_dir() else (where.parent, where)
    if not metrics.is_file():
        raise UserError(f"{where}: there is no {METRICS_FILE}; give the --save_path of a run, or its --metrics_path")
    settings = _settings(folder / RUN_FILE)
    rows = _metrics(metrics)
    return Run(
        name or folder.resolve().name,
        folder,
        settings.pop("command", ""),
        rows,
        _rationales(folder, metrics.with_name(SAMPLES_FILE)),
        settings,
        _text(folder / PLAN_FILE),
        _notes(folder / NOTES_FILE),
    )


def named(paths: Sequence[Path]) -> list[str]:
    """A short name for each run, different from all others: the end of its path, as long as it takes."""
    whole = [path.resolve().parts if path.is_dir() else path.resolve().parent.parts for path in paths]
    names = []
    for number, parts in enumerate(whole):
        others = [other for k, other in enumerate(whole) if k != number]
        length = next((n for n in range(1, len(parts)) if all(o[-n:] != parts[-n:] for o in others)), len(parts))
        names.append("/".join(parts[-length:]))
    return [name if names.count(name) == 1 else f"{name} ({number + 1})" for number, name in enumerate(names)]


def thinned(steps: Sequence[int], values: Sequence[float], most: int) -> tuple[list[int], list[float]]:
    """At most about `most` points: of each stretch of steps the smallest and the largest, and the first and last."""
    if len(steps) <= most:
        return list(steps), list(values)
    kept = {0, len(steps) - 1}
    size = 2 * len(steps) / most
    start = 0.0
    while start < len(steps):
        stretch = range(int(start), min(int(start + size) or 1, len(steps)))
        if stretch:
            kept |= {min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__)}
        start += size
    chosen = sorted(kept)
    return [steps[i] for i in chosen], [values[i] for i in chosen]


def _metrics(path: Path) -> dict[int, dict[str, float]]:
    """By step, one written twice as it was written last; a last line that is still being written is left out."""
    rows: dict[int, dict[str, float]] = {}
    for row in _lines(path):
        step = row.get("step")
        if isinstance(step, int):
            rows[step] = {
                name: float(value)
                for name, value in row.items()
                if name != "step" and isinstance(value, int | float) and math.isfinite(value)
            }
    return dict(sorted(rows.items()))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                yield row


def _notes(path: Path) -> list[tuple[int, str]]:
    return [(int(row.get("step") or 0), str(row.get("note", ""))) for row in _lines(path)]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _settings(path: Path) -> dict[str, str]:
    """A flat table of run.yaml; {} without one."""
    if not path.is_file():
        return {}
    import yaml

    try:
        tree = yaml.safe_load(_text(path))
    except yaml.YAMLError:
        return {}
    found: dict[str, str] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, own in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), own)
        else:
            found[prefix] = " ".join(map(str, value)) if isinstance(value, list) else str(value)

    walk("", tree if isinstance(tree, dict) else {})
    return found


def _rationales(folder: Path, samples: Path) -> list[dict[str, Any]]:
    """Of --save_rollouts where the run kept them, else the samples; evenly spread where there are too many."""
    try:
        kept = steps_in(rollout_folder(folder))
    except UserError:
        kept = {}
    if kept:
        steps = _spread(list(kept), _RATIONALES // 8)
        rows = [row for step in steps for row in _spread(read_file(kept[step]).rows, _RATIONALES // len(steps))]
        found = [
            {**row, "answer": row["label"], "response": row["text"], "tokens": len(row["token_ids"])} for row in rows
        ]
    else:
        found = _spread(list(_lines(samples)), _RATIONALES)
    return [
        {
            "step": row.get("step", 0),
            "prompt": _cut(row.get("prompt")),
            "answer": _cut(row.get("answer")),
            "response": _cut(row.get("response")),
            "reward": row.get("reward"),
            "tokens": row.get("tokens"),
            "end": row.get("finish_reason", ""),
        }
        for row in found
    ]


def _spread(rows: Sequence[Any], most: int) -> list[Any]:
    most = max(1, most)
    return list(rows) if len(rows) <= most else [rows[i * len(rows) // most] for i in range(most)]


def _cut(text: Any) -> str:
    text = str(text or "")
    half = _CHARACTERS // 2
    return (
        text if len(text) <= _CHARACTERS else f"{text[:half]}\n[… {len(text) - 2 * half} characters …]\n{text[-half:]}"
    )
