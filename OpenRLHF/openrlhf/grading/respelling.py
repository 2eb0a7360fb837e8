"""Spellings that the grammar has no place for, written as it has them."""

import re

_EITHER = r"(?:either|both|(?:the )?(?:final )?answer(?: is)?:?)"
_PREFIX = re.compile(rf"^(?:{_EITHER} |\\text ?\{{ ?{_EITHER} ?\}})", re.IGNORECASE)
# A label of words before the value: "Total: 18".
_LABEL = re.compile(r"^[A-Za-z]{3,}(?: [A-Za-z]+){0,3}: ?(?=\S)")
# An inequality that is restated as an interval: "-9 < x < 0: (-9, 0)".
_RESTATED = re.compile(r"^[^:]*(?:[<>]|\\[lg]e)[^:]*: ?(?=[\[(])")
_FOR_ALL = re.compile(
    r",? (?:\\text ?\{ ?)?(?:for (?:all|any|every|some)|where) (?:\w+ is )?(?:an? |all |any )?"
    r"(?:real|integer)[^,;]*$"
)
_ALL_BUT = re.compile(
    r"^(?:\\text ?\{ ?)?all (?:real numbers|reals) (?:\w )?(?:except|but|other than)(?: for)? ?\}? ?"
    r"(?:[a-z] ?= ?)?([^a-z]+)$"
)
_RATIO_IN_WORDS = re.compile(r"(\d) ?(?:\\text ?\{ ?to ?\}|to) ?(?=\d)")
_BY = re.compile(r"(\d) ?(?:\\text ?\{ ?by ?\}|by) ?(?=\d)")
# A segment is named with or without its bar.
_SEGMENT = re.compile(r"\\overline ?\{ ?([A-Z]) ?([A-Z]) ?\}")
_IN_BASE = re.compile(r"^([0-9A-Z]+) ?(?:_ ?\{)? ?(?:\\text ?\{ ?)?\(?(?:in )?base[ -]?\}? ?(\w+) ?\)?\}{0,2}$")

_CURRENCY_CODE = re.compile(r"^(-?) ?(?:USD|US ?\\?\$|dollars?|EUR|GBP) ?(?=[-\d])")
_LETTER_TIMES = re.compile(r"(?<=\d) ?[xX] ?10 ?\^")
_HOURS = re.compile(r"(\d) ?h(?= ?\d+ ?m)")
_UNIT_AND = re.compile(r"\b(hours?|hrs?|minutes?|days?|weeks?|years?|feet|foot|ft|dollars?) and ?(\} ?)?(?=\d)")
_UPRIGHT = r"\{ ?\\(?:text|mathrm) ?\{([^{}]*)\} ?\}"
_UNIT_FRACTION = re.compile(rf"\\frac ?{_UPRIGHT} ?{_UPRIGHT}")

_ANGLES = re.compile(r"^<([^<>=]+,[^<>=]+)>$")
_COMPARED = re.compile(r"[<>]|\\(?:le|ge|lt|gt)")
_BRACKET = re.compile(r"[\[\](]")
_CUP = re.compile(r"\\cup(?![A-Za-z])")
# A system with a brace on its left alone, and one that is aligned at its signs.
_OPEN_SYSTEM = re.compile(
    r"\\\{ ?\\begin ?\{(?:array|aligned|matrix|cases)\}(?: ?\{[lcr| ]*\})?(.*?)\\end ?\{\w+\}(?: ?\\\})?$"
)
_ALIGNED = re.compile(r"\\begin ?\{(aligned|align\*?|split|gathered)\}(.*?)\\end ?\{\1\}")
# Parts of an answer: (a) 3, (b) 4.
_PART = re.compile(r"\(([a-e]|i{1,3}|iv)\) ?")
_PARTS = ("a", "b", "c", "d", "e"), ("i", "ii", "iii", "iv")


def respelled(text: str) -> str:
    """A tidied answer in the spelling that `parser` reads."""
    text = _without_announcement(text)
    if "\\begin" in text:
        text = _OPEN_SYSTEM.sub(r"\\begin{cases}\1\\end{cases}", text)
        text = _ALIGNED.sub(lambda m: rf"\begin{{aligned}}{m[2].replace('&', ' ')}\end{{aligned}}", text)
    text = _with_plain_units(text)
    text = _ANGLES.sub(r"\\langle \1\\rangle ", text)
    if "cup" in text and _COMPARED.search(text) and not _BRACKET.search(text):
        text = _CUP.sub(" or ", text)
    text = _BY.sub(r"\1\\times ", _SEGMENT.sub(r"\1\2", text))
    return _IN_BASE.sub(r"\1_{\2}", _RATIO_IN_WORDS.sub(r"\1:", text))


def said_once(mine: str, gold: str) -> tuple[str, str]:
    """Both answers, without the inequality of one that restates it as an interval where the other does not."""
    if (":" in mine) != (":" in gold):
        return _RESTATED.sub("", mine), _RESTATED.sub("", gold)
    return mine, gold


def _without_announcement(text: str) -> str:
    """Without the words around the answer: labels, "either", "for all real x"."""
    if ":" in text:
        text = _LABEL.sub("", text)
    text = _ALL_BUT.sub(r"\\mathbb{R} \\setminus \\{\1\\}", text)
    return _PREFIX.sub("", _without_part_labels(_FOR_ALL.sub("", text)))


def _without_part_labels(text: str) -> str:
    labels = tuple(_PART.findall(text)) if text.startswith(("(a)", "(i)")) else ()
    in_order = any(labels == known[: len(labels)] for known in _PARTS)
    return _PART.sub("", text) if len(labels) > 1 and in_order else text


def _with_plain_units(text: str) -> str:
    text = _CURRENCY_CODE.sub(r"\1\$", text)
    text = _LETTER_TIMES.sub(r"\\times 10^", text)
    text = _UNIT_AND.sub(r"\1 \2", _HOURS.sub(r"\1 hours", text))
    return _UNIT_FRACTION.sub(r"\\text{\1/\2}", text)
