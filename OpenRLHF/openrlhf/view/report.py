"""The report of runs: one page with everything in it, charts included, for reading and for sending on."""

import base64
import gzip
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from openrlhf.evaluation.figures.metrics import wilson
from openrlhf.utils.formulas import typeset
from openrlhf.utils.pages import script_data, write_page
from openrlhf.view.panels import panels_for
from openrlhf.view.runs import Run, named, read_run, thinned

POINTS = 1200  # of a line
FORMULAS = 3000


def write_report(folders: Sequence[Path], path: Path, *, live: bool = False) -> None:
    """Writes the page of these runs. live: the page reads itself again now and then.

    Raises:
        UserError: a folder without metrics.
    """
    runs = [read_run(folder, name) for folder, name in zip(folders, named(folders), strict=True)]
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    template = files("openrlhf.view").joinpath("report.html").read_text(encoding="utf-8")
    values = {"title": escape(title), "data": script_data(report_data(runs, live=live)), "library": _library()}
    write_page(path, template, values)


def report_data(runs: Sequence[Run], *, live: bool = False) -> dict[str, Any]:
    """What the page shows, as JSON values."""
    panels = panels_for([name for run in runs for name in run.names()])
    budget = [FORMULAS]
    return {
        "live": live,
        "runs": [
            {
                "name": run.name,
                "command": run.command,
                "facts": facts(run),
                "plan": run.plan,
                "notes": list(run.notes),
                "rationales": [_set_rationale(row, budget) for row in run.rationales],
            }
            for run in runs
        ],
        "panels": [
            {
                "title": panel.title,
                "unit": panel.unit,
                "share": panel.share,
                "log": panel.log,
                "stacked": panel.stacked,
                "series": [_line(run, number, name) for number, run in enumerate(runs) for name in panel.metrics],
            }
            for panel in panels
        ],
        "settings": settings_table(runs),
    }


def facts(run: Run) -> list[tuple[str, str]]:
    """What the table at the top says of a run."""
    steps = list(run.metrics)
    rows: list[tuple[str, str]] = [("steps", str(steps[-1]) if steps else "none yet")]
    for name, label in (("train/accuracy", "accuracy of rollouts"), ("eval/accuracy", "accuracy on held-out problems")):
        at, values = run.series(name)
        if values:
            place = max(range(len(values)), key=values.__getitem__)
            best = f", best {values[place]:.1%} at step {at[place]}" if values[place] > values[-1] else ""
            rows.append((label, f"{values[0]:.1%} → {values[-1]:.1%}{best}"))
    for name, label, style in (
        ("train/response_length", "tokens of a response", ".1f"),
        ("train/loss", "loss", ".4g"),
        ("eval/loss", "held-out loss", ".4g"),
    ):
        _, values = run.series(name)
        if values:
            rows.append((label, f"{values[0]:{style}} → {values[-1]:{style}}"))
    spent = sum(sum(run.series(f"time/{phase}_s")[1]) for phase in ("generate", "train", "sync", "evaluate"))
    if spent:
        rows.append(("time in steps", _duration(spent)))
    return rows


def settings_table(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Every setting with its value in each run; those that differ first."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    rows = []
    for name in names:
        values = [run.settings.get(name) for run in runs]
        rows.append({"name": name, "values": values, "differs": len(set(values)) > 1})
    return sorted(rows, key=lambda row: not row["differs"])


def interval(name: str, value: float, row: Mapping[str, float]) -> tuple[float, float] | None:
    """Wilson's 95% interval of a share, where the row says of how many; None for other metrics.

    Samples of the same prompt are not independent, so the interval of rollouts is too narrow.
    """
    count = 0.0
    if name == "train/accuracy" and row.get("train/kept_share"):
        count = row["train/kept"] / row["train/kept_share"]
    elif name == "eval/accuracy":
        count = row.get("eval/problems", 0.0)
    return wilson(value * count, count) if count >= 1 and 0 <= value <= 1 else None


def _line(run: Run, number: int, name: str) -> dict[str, Any]:
    steps, values = thinned(*run.series(name), POINTS)
    made: dict[str, Any] = {"run": number, "metric": name, "x": steps, "y": [_short(value) for value in values]}
    found = [interval(name, value, run.metrics[step]) for step, value in zip(steps, values, strict=True)]
    if any(found):
        made["low"] = [_short(own[0]) if own else None for own in found]
        made["high"] = [_short(own[1]) if own else None for own in found]
    return made


def _short(value: float) -> float:
    return float(f"{value:.5g}") if math.isfinite(value) else 0.0


def _set_rationale(row: Mapping[str, Any], budget: list[int]) -> dict[str, Any]:
    return {**row, **{name: typeset(row[name], budget) for name in ("prompt", "answer", "response")}}


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"


@lru_cache(maxsize=1)
def _library() -> str:
    """Plotly's own file from the installed package, compressed: 2 MB of text in place of 4.8."""
    source = files("plotly").joinpath("package_data/plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(source, 6, mtime=0)).decode("ascii")
