r"""The answer of a worked solution in Hendrycks form: its `\boxed{…}`, with the odd cases of the real data.

Facts behind the rules (all 12,500 rows): 204 solutions have several boxes, 49 of them with different
contents. Some of these form one answer, some state it again in another form, some are steps, some say what
else is accepted. Boxes also occur as placeholders (`\boxed{\phantom{2}}`), inside drawings, and once as an
operator that the problem defines.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from openrlhf.grading.extraction.boxes import Box, find_boxes

# Decides whether two answers are the same.
Same = Callable[[str, str], bool]

_DRAWING = re.compile(r"\[asy\].*?(?:\[/asy\]|\Z)", re.DOTALL)
_PLACEHOLDER = re.compile(r"(?:\\phantom\s*\{[^{}]*\}|\\[ ,;:!]|\\\Z|\\q?quad\b|[~?\s])*")
_BOX_COMMAND = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])")
_EQUALS = re.compile(r"[\s&]*=")
_ALSO_ACCEPTED = re.compile(r"[\s$.,\\)\]]*(?:is|are|would be|will be)\s+also\s+(?:an?\s+)?accept")
# Between two boxes of one answer: "$ and $", ", or $t = ", " \text{ and } ".
_CONNECTIVE = re.compile(
    r"[\s.,;$!\\)\]]*(?:\\(?:text|mbox|textrm)\s*\{)?\s*\b(?:and|or)\b[\s}$\\,;(\[]*"
    r"(?:[A-Za-z]\w*(?:\([a-z]\))?\s*=\s*)?[\s$]*"
)
_LONGEST_CONNECTIVE = 60
_ASKS_FOR_ALL = re.compile(
    r"separated by (?:a )?commas?|\b(?:find|list|enter|determine|give|what are) all\b"
    r"|\ball (?:the |possible |real |complex |integer )*(?:values|solutions|roots)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Answer:
    """text: the answer, or None where there is none; then `problem` says why."""

    text: str | None
    problem: str = ""


def extract_answer(problem: str, solution: str, same: Same) -> Answer:
    """The answer that `solution` boxes.

    The last complete box counts; boxes before it that are joined to it by "and" or "or" belong to it
    ("2 or 3"), and where the problem asks for all values every box does ("4, -4"). A form that `same` calls
    equal to another is written once.
    """
    text = _DRAWING.sub("", solution)
    boxes = find_boxes(text)
    if not boxes:
        return Answer(None, "no complete box")
    if _BOX_COMMAND.search(problem) and _EQUALS.match(text, boxes[-1].end):
        return Answer(None, "the box is an operator")
    boxes = [box for box in boxes if not _PLACEHOLDER.fullmatch(box.content)]
    if not boxes:
        return Answer(None, "the box is empty")
    boxes = boxes[:1] + [box for box in boxes[1:] if not _ALSO_ACCEPTED.match(text, box.end)]
    joined = _distinct(_joined_to_last(boxes, text), same)
    if _ASKS_FOR_ALL.search(problem):
        everything = _distinct([box.content for box in boxes], same)
        if len(everything) > len(joined):
            return Answer(", ".join(everything))
    return Answer(" or ".join(joined))


def _joined_to_last(boxes: list[Box], text: str) -> list[str]:
    first = len(boxes) - 1
    while first > 0:
        begin, end = boxes[first - 1].end, boxes[first].start
        if end - begin > _LONGEST_CONNECTIVE or not _CONNECTIVE.fullmatch(text, begin, end):
            break
        first -= 1
    return [box.content for box in boxes[first:]]


def _distinct(contents: list[str], same: Same) -> list[str]:
    """In order; of several equal ones the last form stays, at the place of the first."""
    kept: list[str] = []
    for content in contents:
        twin = next((at for at, other in enumerate(kept) if other == content or same(other, content)), None)
        if twin is None:
            kept.append(content)
        else:
            kept[twin] = content
    return kept
