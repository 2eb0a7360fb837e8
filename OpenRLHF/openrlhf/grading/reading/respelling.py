"""Spellings that the grammar has no place for, written as it has them."""

import re

from openrlhf.grading.reading.parts import without_labels
from openrlhf.grading.reading.phrases import parity_written_out
from openrlhf.grading.reading.unit_spelling import with_plain_units

_EITHER = r"(?:either|both|(?:the )?(?:final )?answer(?: is)?:?)"
_PREFIX = re.compile(rf"^(?:\\therefore |{_EITHER} |\\text ?\{{ ?{_EITHER} ?\}})", re.IGNORECASE)
# A label of words before the value: "Total: 18".
_LABEL = re.compile(r"^[A-Za-z]{3,}(?: [A-Za-z]+){0,3}: ?(?=\S)")
_FOR_ALL = re.compile(
    r"[,;]? ?\\forall[^,;]*$|,? (?:\\text ?\{ ?)?(?:for (?:all|any|every|some)|where) ?\}? ?"
    r"(?:\w+ is )?(?:an? |all |any )?(?:(?:positive |non-?negative )?(?:real|integer)|constant|[a-z]$)[^,;]*$"
)
# What is said to be an integer is a parameter: ", where n is an integer", "for any integer n", ", n integer".
_TEXT = r"(?:\\text ?\{ ?)?"
_INTEGER = re.compile(
    rf"(?:[,;] ?| )\(?{_TEXT}(?:"
    rf"(?:(?:for|where|with) (?:the )?|(?:for |with )?(?:any|all|every|some|an) )integers? ?\}}? ?(?P<behind>[a-z])"
    rf"|(?:(?:for|where|with) )?(?:any |all |every )?\}}? ?(?P<before>(?<![A-Za-z])[a-z]) {_TEXT}"
    rf"(?:is |being )?(?:an? |any )?(?:arbitrary )?integer) ?\}}? ?\)?$"
)
_IN_INTEGERS = re.compile(r"(?<=\S)(?:[,;] ?| )\(? ?([a-z]) ?\\in ?\\mathbb ?\{? ?Z ?\}? ?\)?$")
_ALL_BUT = re.compile(
    rf"^{_TEXT}all (?:reals|real(?: numbers?| values?)?)(?: of)? (?:\w )?(?:except|but|other than)(?: for)? ?\}}? ?"
    r"(?:[a-z] ?= ?)?((?:[^a-z]|and)+)$"
)
# increase by 20%, \text{a loss of } \$5
_CHANGE = re.compile(
    r"^(?:\\text ?\{ ?)?(?:an? )?(increase|decrease|rise|fall|drop|gain|loss|profit)[sd]?(?: by| of)? ?\}? ?"
    r"(?=[\\$]{0,2}\d)(.+)$"
)
# "No solution: ∅" says it twice.
_NO_SOLUTION = re.compile(
    r"^(?:\\text ?\{ ?)?(?:there (?:is|are) )?no (?:real )?solutions? ?\}? ?[:,;(]? ?"
    r"(\\(?:emptyset|varnothing|oslash)|\\\{ ?\\\}) ?\)?$",
    re.IGNORECASE,
)
_INFINITY = re.compile(r"^(negative|minus|positive|plus) infinity$")
# A function and its domain: y = x^2 for x > 0, f(x) = cx for some c > 0.
_WHEN = r"(?:for|when|where|if|with)(?: (?:some|any|all|every|each))?(?: (?:real|constants?|numbers?))*"
_DOMAIN = re.compile(rf",? ?(?:\\text ?\{{ ?{_WHEN} ?\}}| {_WHEN} )(?=[^,;]*(?:[<>]|\\[lgn]e))")
_RATIO_IN_WORDS = re.compile(r"(\d) ?(?:\\text ?\{ ?to ?\}|to) ?(?=\d)")
_BY = re.compile(r"(\d) ?(?:\\text ?\{ ?by ?\}|by) ?(?=\d)")
# A segment is named with or without its bar.
_SEGMENT = re.compile(r"\\overline ?\{ ?([A-Z]) ?([A-Z]) ?\}")
_IN_BASE = re.compile(r"^([0-9A-Z]+) ?(?:_ ?\{)? ?(?:\\text ?\{ ?)?\(?(?:in )?base[ -]?\}? ?(\w+) ?\)?\}{0,2}$")

# minimum: 1, maximum: 2
_LABELLED = re.compile(r"(?:(?<=^)|(?<=[,;] ))([A-Za-z]{3,}(?: [a-z]+){0,2}) ?: ?(?=[-\d\\(])")
_PLUS_MINUS = re.compile(r"\+ ?/ ?- ?")
_CHOSEN = re.compile(r"(?:\{\} ?|(?<![A-Za-z\d})\]]))[_^] ?\{?(\d+)\}? ?C ?_ ?\{?(\d+)\}?")
_SHOWN_REMAINDER = re.compile(
    r"^(?:[-+\d ^{}()!*]|\\(?:cdot|times))+(?:\\[bp]?mod|mod|\\(?:text|mathrm|operatorname) ?\{ ?mod ?\})"
    r" ?\{?\d+\}? ?= ?(?=[-\d])"
)
_ARGUMENT = r" ?(?:\{ ?(\d+) ?\}|(\d))"
_COUNTED = re.compile(rf"(?<![A-Za-z\\])([CAP]) ?(?:_{_ARGUMENT} ?\^{_ARGUMENT}|\^{_ARGUMENT} ?_{_ARGUMENT})")
_COMMANDS, _ONLY_LETTERS = re.compile(r"\\[A-Za-z]+"), re.compile(r"[^A-Za-z]")
_CHOOSE = re.compile(r"(?<![\w.])(\d+)C(\d+)(?!\w)")
# What Python and SymPy print.
_FRACTION = re.compile(r"\b(?:Fraction|Rational)\((-?\d+), ?(\d+)\)")
_IMAGINARY = re.compile(r"(?<=\d\*)I\b|\bI(?=\*)")
_PREFIXED = re.compile(r"(?<![\w.])0([xXbBoO])([0-9a-fA-F]+)(?!\w)")
_PREFIXES = {"x": 16, "b": 2, "o": 8}
_SMALL_DIGITS = re.compile(r"\(?([0-9a-f]*\d[0-9a-f]*)\)? ?_ ?\{? ?16 ?\}?")

# 17 R 3 is the quotient and the remainder.
_REMAINDER = re.compile(
    r"^(?:[Qq]uotient(?: of| is)? )?(-?\d+) ?,? ?(?:"
    rf"(?:and |with )?(?:an? )?{_TEXT}(?:[Rr]emainder|[Rr]em\.?)(?: of)? ?\}}?|{_TEXT}R\.? ?\}}?|(?<= )r(?= )"
    r") ?(\d+)$"
)
# {x | x > 2} with braces that TeX does not print.
_BARE_BUILDER = re.compile(r"^\{ ?([a-z] ?(?:\\mid(?![a-z])|\||:).*)\}$")
_ANGLES = re.compile(r"^<([^<>=]+,[^<>=]+)>$")
_COMPARED = re.compile(r"[<>]|\\(?:le|ge|lt|gt)")
_BRACKET = re.compile(r"[\[\](]")
_CUP = re.compile(r"\\cup(?![A-Za-z])")
# A system with a brace on its left alone, and one that is aligned at its signs.
_OPEN_SYSTEM = re.compile(
    r"\\\{ ?\\begin ?\{(?:array|aligned|matrix|cases)\}(?: ?\{[lcr| ]*\})?(.*?)\\end ?\{\w+\}(?: ?\\\})?$"
)
_NAME = re.compile(r"[A-Za-z](?:_ ?\{? ?\w+ ?\}?)?'?(?: ?\( ?[a-z] ?\))?")
_ALIGNED = re.compile(r"\\begin ?\{(aligned|align\*?|split|gathered)\}(.*?)\\end ?\{\1\}")


def respelled(text: str) -> str:
    """A tidied answer in the spelling that `parser` reads."""
    text = _without_announcement(parity_written_out(text))
    if "\\begin" in text:
        text = _OPEN_SYSTEM.sub(r"\\begin{cases}\1\\end{cases}", text)
        text = _ALIGNED.sub(
            lambda m: _chain(m[2]) or rf"\begin{{aligned}}{m[2].replace('&', ' ')}\end{{aligned}}", text
        )
    text = _with_plain_numbers(with_plain_units(_REMAINDER.sub(r"R(\1, \2)", text)))
    text = _BARE_BUILDER.sub(r"\\{\1\\}", text)
    text = _ANGLES.sub(r"\\langle \1\\rangle ", text)
    if "cup" in text and _COMPARED.search(text) and not _BRACKET.search(text):
        text = _CUP.sub(" or ", text)
    text = _BY.sub(r"\1\\times ", _SEGMENT.sub(r"\1\2", text))
    return _IN_BASE.sub(r"\1_{\2}", _RATIO_IN_WORDS.sub(r"\1:", text))


def shown_remainder(text: str) -> str:
    r"""2 of 17 \bmod 5 = 2; a condition on a letter stays one."""
    return _SHOWN_REMAINDER.sub("", text) if "mod" in text and "=" in text else text


def counted(text: str) -> str:
    """C_5^2 and A_5^2 as what they count, in a text without other letters."""
    found = _COUNTED.search(text)
    if not found or set(_ONLY_LETTERS.sub("", _COMMANDS.sub("", text))) - set("CAP"):
        return text
    return _COUNTED.sub(_choices, text)


def _choices(match: re.Match[str]) -> str:
    lower, upper, first, second = (match[k] or match[k + 1] for k in (2, 4, 6, 8))
    among, chosen = int(lower or second), int(upper or first)
    if chosen > among:
        return match.group()
    return rf"\binom{{{among}}}{{{chosen}}}" if match[1] == "C" else rf"\frac{{{among}!}}{{{among - chosen}!}}"


def _chain(lines: str) -> str | None:
    r"""What A &= B \\ &= C comes to, with the name of A if it is one; None for lines that are no such chain."""
    first, *others = (line.replace("&", " ").strip() for line in lines.strip().removesuffix("\\\\").split("\\\\"))
    if not others:
        return first
    if not all(line.startswith("=") for line in others):
        return None
    name, _, value = first.partition("=")
    last = others[-1].rpartition("=")[2].strip()
    return f"{name}= {last}" if value and _NAME.fullmatch(name.strip()) else last


def _without_announcement(text: str) -> str:
    """Without the words around the answer: labels, "either", "for all real x"."""
    if match := _NO_SOLUTION.match(text):
        return match[1]
    if text.count(":") > 1:
        text = _LABELLED.sub(r"\\text{\1} = ", text)
    elif ":" in text:
        text = _LABEL.sub("", text)
    if "integer" in text:
        text = _INTEGER.sub(lambda m: rf", {m['behind'] or m['before']} \in \mathbb{{Z}}", text)
    if "\\in" in text:
        text = _IN_INTEGERS.sub(r", \1 \\in \\mathbb{Z}", text)
    if " " in text and "\\begin" not in text:
        text = _DOMAIN.sub(", ", _CHANGE.sub(r"\2 \\text{\1}", text))
        text = _INFINITY.sub(lambda m: ("-" if m[1] in ("negative", "minus") else "") + r"\infty", text)
    text = _ALL_BUT.sub(r"\\mathbb{R} \\setminus \\{\1\\}", text)
    return _PREFIX.sub("", without_labels(_FOR_ALL.sub("", text)))


def _with_plain_numbers(text: str) -> str:
    text = _CHOOSE.sub(r"\\binom{\1}{\2}", _CHOSEN.sub(r"\\binom{\1}{\2}", _PLUS_MINUS.sub(r"\\pm ", text)))
    text = _IMAGINARY.sub("i", _FRACTION.sub(r"\\frac{\1}{\2}", text))
    if _SMALL_DIGITS.fullmatch(text):
        text = text.upper()
    return _PREFIXED.sub(lambda m: f"{m[2].upper()}_{{{_PREFIXES[m[1].lower()]}}}", text)
