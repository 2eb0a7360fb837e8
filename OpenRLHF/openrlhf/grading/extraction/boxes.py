r"""Finds `\boxed{…}`, `\fbox{…}` and `\boxed 5` in a text, with balanced braces."""

import re
from dataclasses import dataclass

# "$boxed{" has lost its backslash.
_COMMAND = re.compile(r"\\(?:boxed|fbox|framebox)(?![A-Za-z])|(?<=\$)boxed(?=\{)")
# What TeX takes as the argument of a command without braces: one token (a command or a character);
# whole numbers are taken whole, since that is what people who write `\boxed 17` mean.
_BARE_ARGUMENT = re.compile(r"\s*(\\[A-Za-z]+(?:\{[^{}]*\})*|-?\d[\d.,]*\d|-?\d|[^\s{}$])")

_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


@dataclass(frozen=True)
class Box:
    """One complete box: its content and where the whole of it stands in the text (`text[start:end]`)."""

    content: str
    start: int
    end: int


def find_boxes(text: str) -> list[Box]:
    r"""All complete, outermost boxes of `text`, in order; a box that is cut off is not one."""
    boxes: list[Box] = []
    closing = _matching_braces(text)
    position = 0
    while match := _COMMAND.search(text, position):
        body = match.end()
        while body < len(text) and text[body].isspace():
            body += 1
        if body < len(text) and text[body] == "{":
            end = closing.get(body)
            if end is None:
                position = match.end()
                continue
            boxes.append(Box(text[body + 1 : end].strip(), match.start(), end + 1))
            position = end + 1
        elif bare := _BARE_ARGUMENT.match(text, match.end()):
            boxes.append(Box(bare.group(1), match.start(), bare.end()))
            position = bare.end()
        else:
            position = match.end()
    return boxes


def _matching_braces(text: str) -> dict[int, int]:
    """Opening to closing index for every pair of braces, in one pass: a response may be megabytes."""
    pairs: dict[int, int] = {}
    open_braces: list[int] = []
    for match in _BRACE.finditer(text):
        if match.group() == "{":
            open_braces.append(match.start())
        elif match.group() == "}" and open_braces:
            pairs[open_braces.pop()] = match.start()
    return pairs


def closing_brace(text: str, opening: int) -> int | None:
    r"""Index of the brace that closes the one at `opening`; None where it never closes.

    Escaped braces (`\{`, `\}`) are set symbols and do not count.
    """
    depth = 0
    i = opening
    while i < len(text):
        if text[i] == "\\":
            i += 2
            continue
        if text[i] == "{":
            depth += 1
        elif text[i] == "}":
            depth -= 1
            if depth == 0:
                return i
        i += 1
    return None
