"""Answers in parts, (a) 3 (b) 4: each part is compared with the part of the same label."""

import re

_LABEL = re.compile(
    r"(?:(?<=^)|(?<=[\s,;\\]))(?:\\(?:text|textbf|mathrm) ?\{ ?)?(?:part )?"
    r"(?P<open>\(?)(?P<name>[a-h]|i{1,3}|iv|v|[1-9])\) ?:?\}? ?",
    re.IGNORECASE,
)
_FAMILIES = (list("abcdefgh"), ["i", "ii", "iii", "iv", "v"], list("123456789"))
_BETWEEN = re.compile(r"^[\s*:]+|(?:[\s*,;.]|\\\\|\band\b)+$")
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


def paired_parts(mine: str, gold: str) -> list[tuple[str, str]] | None:
    """The parts of two answers (tidied), pair by pair; None where they have no parts, or not as many.

    An answer without labels has its parts in order, between commas.
    """
    mine_parts, gold_parts = _parts(mine), _parts(gold)
    if mine_parts is None and gold_parts is None:
        return None
    first, second = mine_parts or _items(mine), gold_parts or _items(gold)
    return list(zip(first, second, strict=True)) if len(first) == len(second) else None


def without_labels(text: str) -> str:
    """The parts as a list; other text as it is."""
    parts = _parts(text)
    return text if parts is None else ", ".join(parts)


def _parts(text: str) -> list[str] | None:
    """What stands behind the labels (a), (b), …, in their order; None where there are not several in one style."""
    labels = list(_LABEL.finditer(text)) if ")" in text[:20] else []
    labels = [label for label in labels if label["open"] == labels[0]["open"]]
    if len(labels) < 2 or text[: labels[0].start()].strip("* "):
        return None
    names = [label["name"] for label in labels]
    family = next((family for family in _FAMILIES if sorted(names) == sorted(family[: len(names)])), None)
    if family is None:
        return None
    ends = [*(label.start() for label in labels[1:]), len(text)]
    contents = [
        _BETWEEN.sub("", _BETWEEN.sub("", text[label.end() : end])) for label, end in zip(labels, ends, strict=True)
    ]
    if not all(contents):
        return None
    return [content for _, content in sorted(zip(map(family.index, names), contents, strict=True))]


def _items(text: str) -> list[str]:
    """The items between commas and semicolons outside of brackets."""
    items, depth, start = [], 0, 0
    for place, char in enumerate(text):
        depth += _BRACKETS.get(char, 0)
        if char in ",;" and not depth:
            items.append(text[start:place].strip())
            start = place + 1
    return [*items, text[start:].strip()]
