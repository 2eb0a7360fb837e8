"""One self-contained page per run or comparison; it loads nothing, and text from a model is never markup."""

import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from openrlhf.evaluation import charts, store
from openrlhf.evaluation.compare import Comparison
from openrlhf.evaluation.records import Graded
from openrlhf.evaluation.results import Result, runs_and_sets

# A page that a browser still opens at once: problems per run and set, characters per response.
MOST_PROBLEMS = 1000
MOST_CHARACTERS = 12_000
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
        _group(f"{r.run} · {r.name}", [_problem(row) for row in _sampled(r.problems)], r.problems) for r in results
    ]
    note = (
        f"At most {MOST_PROBLEMS} problems of each run and set are kept here, evenly spread, and "
        f"{MOST_CHARACTERS} characters of each response; the files of samples hold everything."
    )
    _write(path, _title(runs), body, "Problems", note, groups)


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
            rows = [_problem_sides(x, y, a, b) for x, y in _sampled(pairs)]
            groups.append(_group(f"{c.name} · {word} · {a} → {b}", rows, pairs))
    note = "Problems that were right more often before (lost) or after (won)."
    _write(path, f"{before} → {after}", body, "Problems that flipped", note, groups)


def _write(path: Path, title: str, body: Iterable[str], heading: str, note: str, groups: list[dict]) -> None:
    page = files("openrlhf.evaluation").joinpath("report.html").read_text(encoding="utf-8")
    # In a script element only "<" could end the data or open a comment.
    data = json.dumps(groups, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")
    values = {
        "title": escape(title),
        "body": "\n".join(part for part in body if part),
        "browser_title": escape(heading),
        "browser_note": escape(note),
        "data": data.replace("\u2029", "\\u2029"),
    }
    pieces = page.split("{{")
    with store.atomically(path) as file:
        file.write(pieces[0])
        for piece in pieces[1:]:
            name, _, rest = piece.partition("}}")
            file.write(values[name] + rest)


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


def _sampled(rows: Sequence[Any]) -> list[Any]:
    """At most `MOST_PROBLEMS`, evenly spread over the whole."""
    if len(rows) <= MOST_PROBLEMS:
        return list(rows)
    return [rows[i * len(rows) // MOST_PROBLEMS] for i in range(MOST_PROBLEMS)]


def _group(title: str, problems: list[dict], whole: Sequence[Any]) -> dict:
    return {"title": title, "problems": problems, "left_out": len(whole) - len(problems)}


def _problem(row: Graded) -> dict:
    p = row.problem
    return {
        "index": p.index,
        "question": p.question,
        "gold": " or also ".join((p.gold, *p.also)),
        "level": p.level,
        "subject": p.subject,
        "source": p.source,
        "samples": [
            {
                "text": _cut(sample.text),
                "tokens": sample.tokens,
                "end": sample.finish_reason,
                "answer": scored.answer,
                "right": scored.right,
                "how": scored.how,
            }
            for sample, scored in zip(row.samples, row.scored, strict=True)
        ],
    }


def _problem_sides(x: Graded, y: Graded, before: str, after: str) -> dict:
    """The first samples of both runs next to each other, all the others below."""
    problem = _problem(x)
    sides = [(before, s) for s in problem["samples"]], [(after, s) for s in _problem(y)["samples"]]
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


def _cut(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"
