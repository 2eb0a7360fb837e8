"""Prints what changed from one run to another, and writes it as a page."""

from collections.abc import Sequence
from pathlib import Path

from openrlhf.evaluation.figures.comparison import compare
from openrlhf.evaluation.figures.records import Graded
from openrlhf.evaluation.pages.comparison import write_comparison


def print_comparison(a: Path, b: Path, output_dir: Path) -> int:
    """`--compare A B`. The page goes to `output_dir`."""
    compared = compare(a, b)
    print(
        f"{'set':18} {'n':>5} {'before':>7} {'after':>7} {'difference (95%)':>24} {'lost':>5} {'won':>5} "
        f"{'McNemar p':>10}"
    )
    for _, _, c in compared:
        d = c.difference
        interval = f"{100 * d.mean:+.1f} ({100 * d.low:+.1f} … {100 * d.high:+.1f})"
        print(
            f"{c.name:18} {d.n:5} {100 * c.before.mean:7.1f} {100 * c.after.mean:7.1f} {interval:>24} "
            f"{len(c.lost):5} {len(c.won):5} {c.p_value:10.2g}"
        )
        if c.unpaired:
            print(f"  {c.unpaired} problems of {c.name} are in one run only and are left out")
    for _, _, c in compared:
        print(f"{c.name}: lost rows {_rows(c.lost)}; won rows {_rows(c.won)}")
    path = output_dir / "compare.html"
    write_comparison(path, compared)
    print(f"report: {path}")
    return 0


def _rows(pairs: Sequence[tuple[Graded, Graded]], most: int = 20) -> str:
    rows = [str(x.problem.index) for x, _ in pairs]
    return ", ".join(rows[:most]) + (f" and {len(rows) - most} more" if len(rows) > most else "") if rows else "none"
