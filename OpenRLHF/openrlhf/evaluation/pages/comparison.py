"""The page of `--compare`: differences with intervals, and the problems that flipped, side by side."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from openrlhf.evaluation.figures.comparison import Comparison
from openrlhf.evaluation.figures.records import Graded
from openrlhf.evaluation.pages import charts
from openrlhf.evaluation.pages.page import group, problem_data, sampled, write_page


def write_comparison(path: Path, compared: Sequence[tuple[str, str, Comparison]]) -> None:
    """The page of `--compare`: differences with intervals, and the problems that flipped, side by side."""
    before, after = compared[0][0], compared[0][1]
    widest = max(max(abs(c.difference.low), abs(c.difference.high)) for _, _, c in compared)
    reach = min(1.0, max(0.05, round(widest + 0.05, 1)))
    drawn = [
        (c.name, [charts.Bar(0, b, c.difference.mean, c.difference.low, c.difference.high)]) for _, b, c in compared
    ]
    body = [
        f"<h1>{escape(before)} → {escape(after)}</h1>",
        '<p class="lead">The same problems before and after: mean difference with its 95% interval, '
        "and the exact McNemar test on the problems that flipped.</p>",
        _comparison_table(compared),
        "<h2>Difference</h2>",
        '<p class="note">In points; to the right of zero the second run is better.</p>',
        charts.bars(drawn, -reach, reach),
    ]
    groups = []
    for a, b, c in compared:
        for word, pairs in (("lost", c.lost), ("won", c.won)):
            rows = [_problem_sides(x, y, a, b) for x, y in sampled(pairs)]
            groups.append(group(f"{c.name} · {word} · {a} → {b}", rows, pairs))
    note = "Problems that were right more often before (lost) or after (won)."
    write_page(path, f"{before} → {after}", body, "Problems that flipped", note, groups)


def _comparison_table(compared: Sequence[tuple[str, str, Comparison]]) -> str:
    heads = ("set", "problems", "before", "after", "difference", "95% interval", "lost", "won", "McNemar p")
    rows = []
    for _, _, c in compared:
        d = c.difference
        cells = (
            str(d.n),
            f"{100 * c.before.mean:.1f}",
            f"{100 * c.after.mean:.1f}",
            f"<b>{100 * d.mean:+.1f}</b>",
            f"{100 * d.low:+.1f} … {100 * d.high:+.1f}",
            str(len(c.lost)),
            str(len(c.won)),
            f"{c.p_value:.2g}",
        )
        rows.append(f"<tr><td>{escape(c.name)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    head = "".join(f"<th>{title}</th>" for title in heads)
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _problem_sides(x: Graded, y: Graded, before: str, after: str) -> dict:
    """The first samples of both runs next to each other, all the others below."""
    problem = problem_data(x)
    sides = [(before, s) for s in problem["samples"]], [(after, s) for s in problem_data(y)["samples"]]
    longest = max(len(side) for side in sides)
    ordered = [side[i] for i in range(longest) for side in sides if i < len(side)]
    problem["samples"] = [{**sample, "side": name} for name, sample in ordered]
    problem["sides"] = True
    shares = " → ".join(f"{sum(row.right)} of {len(row.right)}" for row in (x, y))
    single = len(x.right) == len(y.right) == 1
    won = sum(y.right) / len(y.right) > sum(x.right) / len(x.right)
    words = ("wrong → right" if won else "right → wrong") if single else f"right: {shares}"
    problem["change"] = ["right" if won else "wrong", words]
    return problem
