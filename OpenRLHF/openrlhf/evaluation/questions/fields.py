"""Reads questions and golds out of the rows of published benchmarks, each of which has its own habits."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openrlhf.grading.extraction.boxes import find_boxes

Row = Mapping[str, Any]
Reader = Callable[[Row], str]


class RowError(ValueError):
    """This row cannot be read; the message names the fields that were looked for and those that are there."""


def text_of(value: Any) -> str:
    """A field as text: whole floats lose their `.0` (the golds 27.0 and 43.0 mean 27 and 43)."""
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value).strip()


def field(*names: str) -> Reader:
    """The first of these fields that is there and not null."""

    def read(row: Row) -> str:
        for name in names:
            if row.get(name) is not None:
                return text_of(row[name])
        raise RowError(f"none of the fields {', '.join(names)}; it has {', '.join(row) or 'no field'}")

    return read


def optional(*names: str) -> Reader:
    """Like `field`, but "" where there is none."""

    def read(row: Row) -> str:
        return next((text_of(row[name]) for name in names if row.get(name) is not None), "")

    return read


def prefixed(prefix: str, *names: str) -> Reader:
    """Like `optional`, with a word before what is there: `prefixed("Level ", "level")` makes 3 "Level 3"."""

    def read(row: Row) -> str:
        value = optional(*names)(row)
        return value if not value or value.startswith(prefix) else prefix + value

    return read


def body_and_question(body: str, question: str) -> Reader:
    """A story and the question about it in one line; a story without a full stop gets one."""

    def read(row: Row) -> str:
        story = field(body)(row)
        return f"{story}{'' if story[-1:] in '.?!' else '.'} {field(question)(row)}".strip()

    return read


def lettered(question: str, options: Sequence[str], label: str = "Answer Choices:") -> str:
    """A multiple-choice question as models are used to seeing it: `… Answer Choices: (A) 3 (B) 5`."""
    listed = " ".join(f"({chr(ord('A') + i)}) {option}" for i, option in enumerate(options))
    return f"{question}\n{label} {listed}"


def aqua_question(row: Row) -> str:
    options = [re.sub(r"^\s*[A-E]\s*[).]\s*", "", str(option)) for option in row["options"]]
    return lettered(field("question")(row), options)


def sat_question(row: Row) -> str:
    """Options come as one string, written `A) … B) …` or `A. … B. …`."""
    options = re.split(r"(?:^|\s)[A-E][).]\s", field("options")(row))[1:]
    return lettered(field("question")(row), [option.strip() for option in options])


def mmlu_question(row: Row) -> str:
    return lettered(field("question")(row), [text_of(choice) for choice in row["choices"]])


def gaokao_qa_question(row: Row) -> str:
    options = row["options"]
    return lettered(field("question")(row), [text_of(options[letter]) for letter in sorted(options)], "选项:")


def tabmwp_question(row: Row) -> str:
    """A table as text, the question, and the options where there are some."""
    title = optional("table_title")(row)
    about = f' regarding "{title}"' if title else ""
    lines = [
        f"Read the following table{about} and answer a question:",
        field("table")(row),
        field("question")(row),
    ]
    if row.get("choices"):
        lines[-1] += f" Please select from the following options: {', '.join(map(str, row['choices']))}"
    return "\n".join(lines)


# Two rows of this set lost their answer to the end of the question, where it would give the game away.
_ANSWER_IN_QUESTION = re.compile(r"\s*answers?:\s*(?P<answer>\S.*)$", re.IGNORECASE | re.DOTALL)


def gaokao2023_question(row: Row) -> str:
    question = field("question")(row)
    return question if optional("answer")(row) else _ANSWER_IN_QUESTION.sub("", question)


def gaokao2023_gold(row: Row) -> str:
    answer = optional("answer")(row)
    if not answer and (inside := _ANSWER_IN_QUESTION.search(field("question")(row))):
        answer = inside["answer"].strip()
    return answer


def letter_of_index(name: str) -> Reader:
    """A choice that is stored as its position, 0 for A."""

    def read(row: Row) -> str:
        value = field(name)(row)
        return chr(ord("A") + int(value)) if value.isdigit() else value.upper()

    return read


def letters(name: str) -> Reader:
    """`A B D` and `ABD` are the same choice."""

    def read(row: Row) -> str:
        return re.sub(r"[\s,;]+", "", field(name)(row)).upper()

    return read


def after_marker(name: str, marker: str = "####") -> Reader:
    """What follows the last marker of a worked answer; "" where there is no marker."""

    def read(row: Row) -> str:
        text = field(name)(row)
        return text.rsplit(marker, 1)[-1].strip() if marker in text else ""

    return read


def without_unit(name: str) -> Reader:
    """`9 (apples)` is 9: these sets write what is counted in parentheses behind the number."""

    def read(row: Row) -> str:
        return re.sub(r"\s+\([^()]*\)$", "", field(name)(row))

    return read


def first_of_list(name: str) -> Reader:
    def read(row: Row) -> str:
        value = row.get(name)
        if not isinstance(value, (list, tuple)) or not value:
            return field(name)(row)
        return text_of(value[0])

    return read


def parts(name: str) -> Reader:
    """Blanks to be filled in order, written `$5$;$10$`: one list with commas."""

    def read(row: Row) -> str:
        return ", ".join(part.strip() for part in field(name)(row).split(";"))

    return read


def boxed(solution: str, *otherwise: str) -> Reader:
    """The box of a worked solution; several different boxes in its last paragraph form one answer ("2 or 3").

    `otherwise`: fields to take where there is no solution.
    """

    def read(row: Row) -> str:
        if row.get(solution) is None:
            return field(solution, *otherwise)(row)
        text = str(row[solution])
        boxes = find_boxes(text)
        if not boxes:
            return ""
        last_paragraph = text.rfind("\n\n", 0, boxes[-1].start)
        together = dict.fromkeys(box.content for box in boxes if box.start > last_paragraph)
        return " or ".join(content for content in together if content)

    return read
