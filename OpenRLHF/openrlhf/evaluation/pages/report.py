"""The page over models × sets."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from openrlhf.evaluation.figures.results import Result, runs_and_sets
from openrlhf.evaluation.pages import charts
from openrlhf.evaluation.pages.page import MOST_CHARACTERS, MOST_PROBLEMS, group, problem_data, sampled, write_page

MOST_COLUMNS = 9


def write_report(path: Path, results: Sequence[Result]) -> None:
    """The page over models × sets."""
    runs, names = runs_and_sets(results)
    body = [
        f"<h1>{escape(_title(runs))}</h1>",
        f'<p class="lead">{len(runs)} {"run" if len(runs) == 1 else "runs"} on {len(names)} '
        f"{'set' if len(names) == 1 else 'sets'}. Accuracy in per cent with its 95% interval (Wilson).</p>",
        _accuracy_table(results, runs, names),
        "<h2>Accuracy</h2>",
        charts.legend(runs),
        charts.bars([(name, _bars(results, runs, name)) for name in names]),
        "<h2>Length of responses</h2>",
        '<p class="note">Share of responses by their number of tokens.</p>',
        charts.legend(runs) if len(runs) > 1 else "",
        f'<div class="multiples">{"".join(_lengths(results, runs, name) for name in names)}</div>',
        "<h2>More figures</h2>",
        _figures_table(results),
        _breakdowns(results),
    ]
    groups = [
        group(f"{r.run} · {r.name}", [problem_data(row) for row in sampled(r.problems)], r.problems) for r in results
    ]
    note = (
        f"At most {MOST_PROBLEMS} problems of each run and set are kept here, evenly spread, and "
        f"{MOST_CHARACTERS} characters of each response; the files of samples hold everything."
    )
    write_page(path, _title(runs), body, "Problems", note, groups)


def _title(runs: Sequence[str]) -> str:
    return runs[0] if len(runs) == 1 else "Evaluation"


def _cell(results: Sequence[Result], run: str, name: str) -> Result | None:
    return next((r for r in results if r.run == run and r.name == name), None)


def _interval(result: Result) -> dict[str, float]:
    mean = result.figures["acc"] / 100
    return result.figures.get("accuracy") or {"mean": mean, "low": mean, "high": mean}


def _accuracy_table(results: Sequence[Result], runs: Sequence[str], names: Sequence[str]) -> str:
    """Runs down and sets across; the other way round where there are more sets than fit on a page."""
    known = {(r.run, r.name): r for r in results}
    best = {name: _best([r for r in results if r.name == name]) for name in names}
    cells = {(run, name): _accuracy_cell(known.get((run, name)), best[name]) for run in runs for name in names}
    means = {run: _mean_cell([known.get((run, name)) for name in names]) for run in runs}
    if len(names) <= MOST_COLUMNS or len(runs) > MOST_COLUMNS:
        columns, rows = (
            list(names),
            [(run, [cells[run, name] for name in names] + [means[run]]) for run in runs],
        )
        columns.append("mean")
    else:
        columns, rows = list(runs), [(name, [cells[run, name] for run in runs]) for name in names]
        rows.append(("mean", [means[run] for run in runs]))
    head = "".join(f"<th>{escape(column)}</th>" for column in ["", *columns])
    body = "".join(f"<tr><td>{escape(title)}</td>{''.join(values)}</tr>" for title, values in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _best(results: Sequence[Result]) -> float | None:
    """The highest accuracy, where there is more than one."""
    values = {_interval(r)["mean"] for r in results}
    return max(values) if len(values) > 1 else None


def _accuracy_cell(result: Result | None, best: float | None) -> str:
    if result is None:
        return "<td>–</td>"
    value = _interval(result)
    mark = ' class="best"' if value["mean"] == best else ""
    small = f"{100 * value['low']:.1f} – {100 * value['high']:.1f} · {result.figures['num_samples']}"
    return f"<td{mark}><b>{100 * value['mean']:.1f}</b><small>{small}</small></td>"


def _mean_cell(results: Sequence[Result | None]) -> str:
    """The plain mean over sets, where the run has all of them."""
    means = [_interval(r)["mean"] for r in results if r is not None]
    if len(means) < len(results):
        return "<td>–</td>"
    return f"<td><b>{100 * sum(means) / len(means):.1f}</b></td>"


def _bars(results: Sequence[Result], runs: Sequence[str], name: str) -> list[charts.Bar]:
    bars = []
    for i, run in enumerate(runs):
        if result := _cell(results, run, name):
            value = _interval(result)
            bars.append(charts.Bar(i, f"{run}, {name}", value["mean"], value["low"], value["high"]))
    return bars


def _lengths(results: Sequence[Result], runs: Sequence[str], name: str) -> str:
    series = []
    for i, run in enumerate(runs):
        if result := _cell(results, run, name):
            tokens = [s.tokens for row in result.problems for s in row.samples if s.tokens is not None]
            series.append((i, run, tokens))
    if not any(tokens for _, _, tokens in series):
        return ""
    return f"<figure><figcaption>{escape(name)}</figcaption>{charts.lengths(series)}</figure>"


_FIGURES = (
    ("problems", "num_samples", "{:d}"),
    ("samples each", "samples_per_problem", "{:d}"),
    ("maj@k", "maj@k", "{:.1%}"),
    ("mean tokens", "length_mean", "{:.0f}"),
    ("cut off", "truncated_share", "{:.1%}"),
    ("prompt too long", "prompt_too_long_share", "{:.1%}"),
    ("no answer", "no_answer_share", "{:.1%}"),
    ("with a box", "boxed_share", "{:.1%}"),
    ("grader time-outs", "grader_timeouts", "{:d}"),
)


def _figures_table(results: Sequence[Result]) -> str:
    head = "".join(f"<th>{title}</th>" for title, _, _ in _FIGURES)
    rows = []
    for r in results:
        values = [(r.figures.get(key), form) for _, key, form in _FIGURES]
        cells = "".join(f"<td>{'–' if value is None else form.format(value)}</td>" for value, form in values)
        passes = ", ".join(f"@{k} {value:.1%}" for k, value in r.figures.get("pass@k", {}).items())
        rows.append(f"<tr><td>{escape(r.run)} · {escape(r.name)}</td>{cells}<td>{passes}</td></tr>")
    head = f"<tr><th>run and set</th>{head}<th>pass@k</th></tr>"
    table = f'<div class="scroll"><table class="dense">{head}{"".join(rows)}</table></div>'
    return table if len(rows) <= 16 else f"<details><summary>{len(rows)} rows</summary>{table}</details>"


def _breakdowns(results: Sequence[Result]) -> str:
    parts = []
    for r in results:
        tables = []
        for title, key in (("level", "by_level"), ("subject", "by_subject"), ("source", "by_source")):
            groups = r.figures.get(key) or {}
            if len(groups) > 1:
                drawn = [(n, [charts.Bar(0, n, g["mean"], g["low"], g["high"])]) for n, g in list(groups.items())[:30]]
                tables.append(f"<h3>by {title}</h3>{charts.bars(drawn)}")
        if tables:
            summary = f"{escape(r.run)} · {escape(r.name)}: by level, subject and source"
            parts.append(f"<details><summary>{summary}</summary>{''.join(tables)}</details>")
    return "".join(parts)
