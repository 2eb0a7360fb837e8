"""Pictures of runs, drawn from their metrics.jsonl without a display."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from openrlhf.errors import UserError

# One line or marker per run in every panel; the Okabe-Ito colours can be told apart by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


@dataclass(frozen=True)
class Panel:
    """title, unit of the vertical axis, and the metrics shown: the first as a line, others as markers."""

    title: str
    unit: str
    metrics: tuple[str, ...]
    share: bool = False


PANELS = (
    Panel("Accuracy of the rollouts", "share", ("train/accuracy", "eval/accuracy"), share=True),
    Panel("Length of a response", "tokens", ("train/response_length",)),
    Panel("KL(posterior ‖ policy)", "nats per token", ("train/kl_posterior",)),
    Panel("Rationales kept", "share", ("train/kept_share",), share=True),
)

Run = Sequence[Mapping[str, float]]


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Rows of a metrics.jsonl, by step; a step written twice (after a restart) counts as written last.

    Raises:
        UserError: no such file, or a line that is not a JSON object with a step.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise UserError(f"cannot read the metrics of a run in {path}: {error}; has it started?") from error
    rows: dict[int, dict[str, float]] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            row = json.loads(line)
            rows[int(row["step"])] = {name: value for name, value in row.items() if value is not None}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}, line {number}: expected {{'step': …}}, found {line[:80]!r}") from error
    return [rows[step] for step in sorted(rows)]


def series(run: Run, metric: str) -> tuple[list[int], list[float]]:
    """Steps and finite values of a metric, at the steps at which it was measured."""
    points = [(int(row["step"]), float(row[metric])) for row in run if metric in row]
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    return [step for step, _ in finite], [value for _, value in finite]


def draw_runs(runs: Mapping[str, Run], path: Path, panels: Sequence[Panel] = PANELS) -> None:
    """Draws one panel per subject, one colour per run (at most 7), and writes a PNG to `path` in one piece.

    Raises:
        UserError: no run, or more of them than there are colours.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not 0 < len(runs) <= len(COLOURS):
        raise UserError(f"a picture shows 1 to {len(COLOURS)} runs, found {len(runs)}")
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.8 * columns, 3.1 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis, panel in zip(axes, panels, strict=False):
        _draw_panel(axis, panel, runs)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    if len(handles) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    FigureCanvasAgg(figure).print_figure(str(temporary), dpi=120, format="png")
    temporary.replace(path)


def _draw_panel(axis, panel: Panel, runs: Mapping[str, Run]) -> None:
    axis.set_title(panel.title, fontsize=11)
    axis.set_xlabel("step")
    axis.set_ylabel(panel.unit)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.xaxis.get_major_locator().set_params(integer=True)
    if panel.share:
        axis.set_ylim(0, 1)
    drawn = False
    for colour, (name, run) in zip(COLOURS, runs.items(), strict=False):
        for number, metric in enumerate(panel.metrics):
            steps, values = series(run, metric)
            if not steps:
                continue
            drawn = True
            label = f"{name} ({metric})" if number else name
            if number:
                axis.plot(steps, values, "o", color=colour, markerfacecolor="white", label=label)
            else:
                marker = "." if len(steps) <= 60 else None
                axis.plot(steps, values, color=colour, linewidth=1.6, marker=marker, markersize=5, label=label)
    if not drawn:
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", va="center", color="grey")
    elif not panel.share:
        axis.set_ylim(bottom=0)
