#!/usr/bin/env python3
"""What a run changed: a table of base and trained model, summary.json, and a picture of the run (run.png).

summary.json: {"seed", "base": {"accuracy", "n", "length"}, "trained": {the same}, "seconds": {phase: …}}, accuracy
as a share between 0 and 1, length in tokens per response.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from openrlhf.errors import UserError
from openrlhf.evaluation.figures.metrics import wilson
from openrlhf.trainer.run_folders import REPORT_FILE
from openrlhf.utils.atomic import write_atomically
from openrlhf.utils.figures import draw_runs, read_metrics


@dataclass(frozen=True)
class Score:
    """accuracy: share of right answers among n problems. length: mean tokens of a response."""

    accuracy: float
    n: int
    length: float

    def row(self, name: str) -> str:
        low, high = wilson(self.accuracy * self.n, self.n)
        interval = f"{100 * low:.1f} to {100 * high:.1f}"
        return f"{name:<9}{100 * self.accuracy:>8.1f}%   {interval:<14}{self.n:>9}{self.length:>9.1f}"


def read_score(folder: Path) -> Score:
    """The score that the evaluation harness wrote below `folder`; there must be exactly one."""
    files = sorted(folder.glob("*/*_metrics.json"))
    if len(files) != 1:
        raise UserError(f"expected the metrics of one set in {folder}, found {len(files)}: score one set there")
    figures = json.loads(files[0].read_text(encoding="utf-8"))
    try:
        return Score(figures["accuracy"]["mean"], figures["num_samples"], figures["length_mean"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{files[0]} lacks {error}: expected the figures that math_eval.py writes") from error


def table(base: Score, trained: Score) -> str:
    return "\n".join(
        [
            f"{'':<9}{'accuracy':>9}   {'95% interval':<14}{'problems':>9}{'tokens':>9}",
            base.row("base"),
            trained.row("trained"),
            f"{'change':<9}{100 * (trained.accuracy - base.accuracy):>+8.1f} points",
        ]
    )


def phase_seconds(texts: list[str]) -> dict[str, float]:
    """name=seconds pairs as a dictionary."""
    pairs = [text.partition("=") for text in texts]
    try:
        return {name: float(value) for name, _, value in pairs}
    except ValueError as error:
        raise UserError(f"--seconds takes NAME=SECONDS, found {' '.join(texts)}") from error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--base", type=Path, required=True, help="math_eval.py's --output_dir for the base model")
    parser.add_argument("--trained", type=Path, required=True, help="the same for the trained model")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.jsonl of the training run")
    parser.add_argument("--output_dir", type=Path, required=True, help="for summary.json and run.png")
    parser.add_argument("--seconds", nargs="*", default=[], metavar="NAME=SECONDS", help="how long phases took")
    args = parser.parse_args()
    try:
        base, trained, seconds = read_score(args.base), read_score(args.trained), phase_seconds(args.seconds)
        draw_runs({"InTRO": read_metrics(args.metrics)}, args.output_dir / "run.png")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    summary = {"seed": args.seed, "base": asdict(base), "trained": asdict(trained), "seconds": seconds}
    write_atomically(args.output_dir / "summary.json", json.dumps(summary, indent=2) + "\n")
    print(table(base, trained))
    if seconds:
        print(", ".join(f"{name} {value:.0f} s" for name, value in seconds.items()), end="")
        print(f"; {sum(seconds.values()):.0f} s in all")
    print(f"picture: {args.output_dir / 'run.png'}, figures: {args.output_dir / 'summary.json'}")
    if (report := args.metrics.with_name(REPORT_FILE)).is_file():
        print(f"report of the run: {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
