"""Chooses rows of MATH by level and answer, leaves out those of given benchmarks, and counts everything."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from openrlhf.datasets.files import Record, read_file
from openrlhf.datasets.hendrycks import MathRow
from openrlhf.datasets.math_answers import Same, extract_answer
from openrlhf.errors import UserError

PROBLEM_FIELDS = ("problem", "question", "Question", "input", "prompt")
# Outcomes of a row, in the order in which they are decided.
UNKNOWN_LEVEL, BELOW, EXCLUDED, NO_ANSWER, KEPT = (
    "level unknown",
    "below level",
    "excluded",
    "no answer",
    "kept",
)

_LEVEL = re.compile(r"(?:level\s*)?(\d+)", re.IGNORECASE)
_TYPESETTING = re.compile(r"\\(?:left|right|[!,;: ])|[\s$~]")


@dataclass
class Selection:
    """records: {problem, solution, answer, level, type}, in reading order.

    counts: rows by (split, configuration, level as written, outcome).
    answerless: rows of sufficient level that have no usable answer, with the reason.
    """

    records: list[Record] = field(default_factory=list)
    counts: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    answerless: list[tuple[MathRow, str]] = field(default_factory=list)

    def count(self, *outcomes: str, split: str | None = None) -> int:
        """Rows with one of these outcomes (all outcomes if none is named), of one split or of all."""
        return sum(
            number
            for (row_split, _, _, outcome), number in self.counts.items()
            if (not outcomes or outcome in outcomes) and split in (None, row_split)
        )


def select_rows(rows: Iterable[MathRow], *, min_level: int, excluded: frozenset[str], same: Same) -> Selection:
    """Keeps rows of `min_level` or above that have an answer and whose problem is not `excluded`.

    excluded: problems as `normalise_problem` writes them. same: see `math_answers.extract_answer`.
    """
    selection = Selection()
    for row in rows:
        outcome = _outcome(row, min_level, excluded)
        if outcome == KEPT:
            answer = extract_answer(row.problem, row.solution, same)
            if answer.text is None:
                outcome = NO_ANSWER
                selection.answerless.append((row, answer.problem))
            else:
                selection.records.append(_record(row, answer.text))
        selection.counts[row.split, row.configuration, row.level, outcome] += 1
    return selection


def _outcome(row: MathRow, min_level: int, excluded: frozenset[str]) -> str:
    level = _LEVEL.fullmatch(row.level.strip())
    if level is None:
        return UNKNOWN_LEVEL
    if int(level.group(1)) < min_level:
        return BELOW
    return EXCLUDED if normalise_problem(row.problem) in excluded else KEPT


def _record(row: MathRow, answer: str) -> Record:
    return {
        "problem": row.problem,
        "solution": row.solution,
        "answer": answer,
        "level": row.level,
        "type": row.type,
    }


def normalise_problem(text: str) -> str:
    """Text without spacing, dollar signs, `\\left`, `\\right` and letter case, to compare problems by."""
    return _TYPESETTING.sub("", unicodedata.normalize("NFKC", text)).casefold()


def read_excluded(files: Sequence[Path]) -> frozenset[str]:
    """The normalised problems of benchmark files. UserError: a file is unreadable or has no problem field."""
    problems = set()
    for file in files:
        rows = read_file(file)
        name = next((name for name in PROBLEM_FIELDS if isinstance(rows[0].get(name), str)), None)
        if name is None:
            raise UserError(
                f"--exclude {file}: none of the fields {', '.join(PROBLEM_FIELDS)} holds the problem; found"
                f" {', '.join(rows[0])}"
            )
        problems |= {normalise_problem(str(row[name])) for row in rows if row.get(name)}
    return frozenset(problems)


def render_records(records: Sequence[Record], path: Path) -> str:
    """A JSON array with one record per line, or JSON lines where `path` ends in .jsonl.

    Only ASCII, so that no reader takes a U+2028 inside a text for the end of a line.
    """
    lines = [json.dumps(record) for record in records]
    if path.suffix == ".jsonl":
        return "".join(line + "\n" for line in lines)
    return "[\n" + ",\n".join(lines) + "\n]\n"


def render_report(selection: Selection, min_level: int) -> str:
    """What was read, kept and dropped, and why: by split, by configuration, and by level."""
    parts = []
    for title, position in (("split", 0), ("configuration", 1), ("level", 2)):
        keys = sorted({key[position] for key in selection.counts})
        lines = [_header(title, min_level)]
        lines += [_line(key, _outcomes(selection, position, key)) for key in keys]
        if len(keys) > 1:
            lines.append(_line("all", _outcomes(selection, None, None)))
        parts.append("\n".join(lines))
    parts.append("\n".join(_funnel(selection, min_level)))
    if selection.answerless:
        lines = [
            f"  {row.split} {row.configuration} row {row.number} ({row.level}): {reason}: {_short(row.problem)}"
            for row, reason in selection.answerless
        ]
        parts.append("\n".join(["Dropped for want of a usable answer:", *lines]))
    return "\n\n".join(parts)


def _funnel(selection: Selection, min_level: int) -> list[str]:
    """From all rows of sufficient level to the kept ones, one reason per line."""
    left = selection.count(EXCLUDED, NO_ANSWER, KEPT)
    lines = [f"{left:,} rows of level {min_level} or above"]
    reasons = Counter(reason for _, reason in selection.answerless)
    excluded = selection.count(EXCLUDED)
    for reason, number in [("in a benchmark to exclude", excluded), *reasons.most_common()]:
        if number:
            left -= number
            lines.append(f"{left:,} after dropping {number:,}: {reason}")
    return lines


def _outcomes(selection: Selection, position: int | None, key: str | None) -> Counter[str]:
    found: Counter[str] = Counter()
    for row, number in selection.counts.items():
        if position is None or row[position] == key:
            found[row[3]] += number
    return found


def _header(title: str, min_level: int) -> str:
    names = ["read", "level ?", f"below {min_level}", f"level {min_level}+", "excluded", "no answer", "kept"]
    return f"{title:<26}" + "".join(f"{name:>11}" for name in names)


def _line(name: str, found: Counter[str]) -> str:
    sufficient = found[EXCLUDED] + found[NO_ANSWER] + found[KEPT]
    numbers = [sum(found.values()), found[UNKNOWN_LEVEL], found[BELOW], sufficient]
    numbers += [found[EXCLUDED], found[NO_ANSWER], found[KEPT]]
    return f"{name:<26}" + "".join(f"{number:>11,}" for number in numbers)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else flat[:60] + "…"
