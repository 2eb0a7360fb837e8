"""What every page has: the frame in `report.html`, and problems with responses to browse.

It loads nothing, and text from a model is never markup.
"""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from openrlhf.evaluation.figures.records import Graded
from openrlhf.evaluation.generation import store
from openrlhf.utils.formulas import typeset
from openrlhf.utils.pages import filled_page, script_data

# A page that a browser still opens at once: problems per run and set, characters per response.
MOST_PROBLEMS = 1000
MOST_CHARACTERS = 12_000
MOST_FORMULAS = 4000


def write_page(path: Path, title: str, body: Iterable[str], heading: str, note: str, groups: list[dict]) -> None:
    page = files("openrlhf.evaluation.pages").joinpath("report.html").read_text(encoding="utf-8")
    values = {
        "title": escape(title),
        "body": "\n".join(part for part in body if part),
        "browser_title": escape(heading),
        "browser_note": escape(note),
        "data": script_data(groups),
        "formulas": script_data(formulas(groups)),
    }
    with store.atomically(path) as file:
        file.write(filled_page(page, values))


def formulas(groups: Sequence[dict]) -> dict[str, str]:
    """MathML of the formulas in questions and responses, by their LaTeX; the first `MOST_FORMULAS` of the page."""
    found, budget = {}, [MOST_FORMULAS]
    for problem in (problem for one in groups for problem in one["problems"]):
        for text in (problem["question"], *(sample["text"] for sample in problem["samples"])):
            parts = typeset(text, budget) if budget[0] > 0 else ()
            found.update({part["source"]: part["math"] for part in parts if isinstance(part, dict)})
    return found


def sampled(rows: Sequence[Any]) -> list[Any]:
    """At most `MOST_PROBLEMS`, evenly spread over the whole."""
    if len(rows) <= MOST_PROBLEMS:
        return list(rows)
    return [rows[i * len(rows) // MOST_PROBLEMS] for i in range(MOST_PROBLEMS)]


def group(title: str, problems: list[dict], whole: Sequence[Any]) -> dict:
    return {"title": title, "problems": problems, "left_out": len(whole) - len(problems)}


def problem_data(row: Graded) -> dict:
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


def _cut(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"
