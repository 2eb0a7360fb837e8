"""The comparison's table and picture, from the results of its runs."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openrlhf.demo.comparison import BUDGETS, METHODS, RESULT
from openrlhf.evaluation.figures.metrics import wilson
from openrlhf.utils.atomic import write_atomically
from openrlhf.utils.figures import COLOURS, read_metrics, series

Results = Mapping[str, Mapping[str, Sequence[dict[str, Any]]]]
CURVES = ("RAFT", "GRPO", "PPO", "InTRO n=5", "InTRO exact", "InTRO n=5, frozen posterior", "InTRO n=5, EMA posterior")


def write_report(root: Path) -> None:
    """table.md and comparison.png in `root`; prints the table."""
    results = read_results(root)
    table = markdown(results)
    write_atomically(root / "table.md", table)
    draw(results, root / "comparison.png")
    print(table, end="")
    print(f"picture: {root / 'comparison.png'}")


def read_results(root: Path) -> Results:
    """Results by budget and method, in the order of seeds; each with "folder", where its run lies."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted(root.glob(f"runs/*/{RESULT}")):
        result = json.loads(file.read_text(encoding="utf-8"))
        found[result["budget"]][result["method"]].append({**result, "folder": file.parent})
    for by_method in found.values():
        for runs in by_method.values():
            runs.sort(key=lambda run: run["seed"])
    return found


def markdown(results: Results) -> str:
    """One table per budget: accuracy over all seeds' problems with its interval, the seeds one by one, length, time.

    The interval is Wilson's over the pooled problems: how far problems vary, not how far seeds do, which the single
    values show.
    """
    lines: list[str] = []
    for budget in BUDGETS:
        if budget not in results:
            continue
        lines += [
            f"**{budget} budget**",
            "",
            "| method | greedy accuracy (95% interval) | by seed | sampled accuracy | tokens | CPU seconds |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(m.name, results[budget][m.name]) for m in METHODS if m.name in results[budget]]
        lines.append("")
    return "\n".join(lines)


def _row(name: str, runs: Sequence[dict[str, Any]]) -> str:
    mean, low, high = _pooled(runs)
    by_seed = " · ".join(f"{100 * run['greedy']:.1f}" for run in runs)
    sampled, length, seconds = (_mean(runs, key) for key in ("sampled", "greedy_length", "cpu_seconds"))
    return (
        f"| {name} | {100 * mean:.1f}% ({100 * low:.1f}–{100 * high:.1f}) | {by_seed} | {100 * sampled:.1f}% "
        f"| {length:.1f} | {seconds:.0f} |"
    )


def _pooled(runs: Sequence[dict[str, Any]]) -> tuple[float, float, float]:
    problems = sum(run["problems"] for run in runs)
    right = sum(run["greedy"] * run["problems"] for run in runs)
    return right / problems, *wilson(right, problems)


def _mean(runs: Sequence[dict[str, Any]], key: str) -> float:
    return sum(run[key] for run in runs) / len(runs)


def draw(results: Results, path: Path) -> None:
    """Left: accuracy of every method with its interval, by budget. Right: accuracy over the long run, mean of seeds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [m.name for m in METHODS if any(m.name in by_method for by_method in results.values())]
    figure = Figure(figsize=(12, 0.34 * len(names) + 2.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    for colour, offset, budget in zip(COLOURS, (-0.14, 0.14), BUDGETS, strict=False):
        _draw_dots(left, names, results.get(budget, {}), colour, offset, f"{budget} budget")
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    left.set(xlim=(0, 1), xlabel="greedy accuracy on held-out problems (95% interval)", title="At the end")
    left.legend(frameon=False, loc="upper left")  # where no accuracy is
    for colour, name in zip(COLOURS, CURVES, strict=True):
        steps, means = _mean_curve(results.get("long", {}).get(name, ()))
        if steps:
            right.plot(steps, means, color=colour, marker=".", label=name)
    right.set(ylim=(0, 1), xlabel="step", ylabel="greedy accuracy, mean over seeds", title="Long run, rate too large")
    if right.lines:
        right.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    for axis in (left, right):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    temporary = path.with_name(f".{path.name}.tmp")
    FigureCanvasAgg(figure).print_figure(str(temporary), dpi=110, format="png")
    temporary.replace(path)


def _draw_dots(axis: Any, names: Sequence[str], by_method: Mapping, colour: str, offset: float, label: str) -> None:
    for place, name in enumerate(names):
        if name in by_method:
            mean, low, high = _pooled(by_method[name])
            spread = [[mean - low], [high - mean]]
            axis.errorbar(mean, place + offset, xerr=spread, fmt="o", color=colour, markersize=5, label=label)
            label = "_nolegend_"
            seeds = [run["greedy"] for run in by_method[name]]
            axis.plot(seeds, [place + offset] * len(seeds), "|", color=colour, alpha=0.6)


def _mean_curve(runs: Sequence[dict[str, Any]]) -> tuple[list[int], list[float]]:
    """Steps at which every seed was scored, and the mean accuracy there."""
    curves = [
        dict(zip(*series(read_metrics(run["folder"] / "metrics.jsonl"), "eval/accuracy"), strict=True)) for run in runs
    ]
    steps = sorted(set.intersection(*map(set, curves))) if curves else []
    return steps, [math.fsum(curve[step] for curve in curves) / len(curves) for step in steps]
