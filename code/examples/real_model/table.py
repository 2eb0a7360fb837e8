#!/usr/bin/env python3
"""What training changed on held-out problems: table.md, table.json and curves.png of the runs below --folder.

A method's change is the mean over problems of the share of its runs (one per seed) that are right, less 1 where the
base model is right; its 95% interval comes from resampling problems 10,000 times. It says how other problems would have
come out, not how other seeds would have: their spread stands beside it. With --premise it only says how often samples
are right, and ends with status 1 where that is below 15%.
"""

import argparse
import json
import sys
from pathlib import Path
from random import Random

from openrlhf.errors import UserError
from openrlhf.evaluation.figures.results import Result, load_results
from openrlhf.utils.atomic import write_atomically
from openrlhf.utils.figures import draw_runs, read_metrics

PREMISE = 0.15
RESAMPLES = 10_000
TITLES = {"intro": "InTRO", "raft": "RAFT", "group_norm": "GRPO"}

# Share of right samples by set and row of a problem.
Shares = dict[tuple[str, int], float]


def shares(results: list[Result]) -> Shares:
    return {
        (result.name, row.problem.index): sum(row.right) / len(row.right)
        for result in results
        for row in result.problems
    }


def interval(differences: list[float], seed: int = 0) -> tuple[float, float]:
    """Of their mean, 95%, by resampling."""
    random, count = Random(seed), len(differences)
    means = sorted(sum(random.choices(differences, k=count)) / count for _ in range(RESAMPLES))
    return means[round(0.025 * RESAMPLES)], means[round(0.975 * RESAMPLES) - 1]


def change(base: Shares, runs: list[Shares]) -> dict[str, float | list[float]]:
    if any(run.keys() != base.keys() for run in runs):
        raise UserError("the runs were scored on other problems than the base model: score all of them anew")
    differences = [sum(run[key] for run in runs) / len(runs) - base[key] for key in sorted(base)]
    seeds = [sum(run.values()) / len(run) for run in runs]
    return {
        "accuracy": sum(seeds) / len(seeds),
        "seeds": seeds,
        "change": sum(differences) / len(differences),
        "interval": list(interval(differences)),
        **{name: _of_set(runs, name) for name in sorted({name for name, _ in base})},
    }


def _of_set(runs: list[Shares], name: str) -> float:
    values = [value for run in runs for (own, _), value in run.items() if own == name]
    return sum(values) / len(values)


def table(folder: Path) -> dict:
    scores = folder / "scores"
    base = shares(load_results([scores / "base"]))
    sets = sorted({name for name, _ in base})
    rows: dict[str, dict] = {
        "base": {"accuracy": sum(base.values()) / len(base), **{n: _of_set([base], n) for n in sets}}
    }
    names = sorted(path.name for path in scores.iterdir() if "-" in path.name and any(path.glob("*/*_metrics.json")))
    for method in dict.fromkeys(name.rpartition("-")[0] for name in names):
        own = [name for name in names if name.rpartition("-")[0] == method]
        rows[method] = change(base, [shares(load_results([scores / name])) for name in own])
        rows[method]["seconds"] = [_seconds(folder, f"train_{name}") for name in own]
    return {"problems": len(base), "sets": sets, "rows": rows}


def _seconds(folder: Path, phase: str) -> float | None:
    lines = dict(line.split("=") for line in (folder / "seconds.txt").read_text().split())
    return float(lines[phase]) if phase in lines else None


def as_markdown(found: dict) -> str:
    head = ["", "right", *found["sets"], "change, 95% interval", "each seed", "seconds a run"]
    lines = [head, ["---"] * len(head)]
    for name, row in found["rows"].items():
        cells = [TITLES.get(name, name), f"{row['accuracy']:.1%}", *(f"{row[s]:.1%}" for s in found["sets"])]
        if "change" in row:
            low, high = row["interval"]
            cells.append(f"{100 * row['change']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})")
            cells.append(", ".join(f"{value:.1%}" for value in row["seeds"]))
            cells.append(", ".join("–" if s is None else f"{s:.0f}" for s in row["seconds"]))
        lines.append(cells + [""] * (len(head) - len(cells)))
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="run.sh's OUT")
    parser.add_argument("--premise", type=Path, help="scores of samples of the base model")
    args = parser.parse_args()
    try:
        if args.premise:
            return premise(args.premise)
        found = table(args.folder)
        text = as_markdown(found)
        write_atomically(args.folder / "table.json", json.dumps(found, indent=1) + "\n")
        write_atomically(args.folder / "table.md", text + "\n")
        runs = {f.parent.name: read_metrics(f) for f in sorted(args.folder.glob("trained/*/metrics.jsonl"))}
        draw_runs(runs, args.folder / "curves.png")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{found['problems']} held-out problems, greedy\n{text}\ncurves: {args.folder / 'curves.png'}")
    return 0


def premise(scores: Path) -> int:
    found = shares(load_results([scores]))
    right = sum(found.values()) / len(found)
    print(f"{right:.1%} of the samples are right before training ({PREMISE:.0%} are wanted)")
    if right < PREMISE:
        print("error: methods that keep correct samples would starve: raise TEXTS", file=sys.stderr)
    return int(right < PREMISE)


if __name__ == "__main__":
    sys.exit(main())
