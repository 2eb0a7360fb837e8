"""Writes the many spellings of one answer the same way, without reading its mathematics."""

import re
import unicodedata
from functools import lru_cache

from openrlhf.grading.extraction.boxes import find_boxes

_SYMBOLS = {
    "−": "-", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "﹣": "-",
    "×": r"\times ", "✕": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "∙": r"\cdot ", "÷": r"\div ", "∗": "*",
    "π": r"\pi ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "δ": r"\delta ",
    "λ": r"\lambda ", "μ": r"\mu ", "ω": r"\omega ", "φ": r"\phi ", "σ": r"\sigma ", "ρ": r"\rho ",
    "\u2126": r"\Omega ", "\u03a9": r"\Omega ",
    "∞": r"\infty ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "Ø": r"\emptyset ",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}",
    "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "≡": r"\equiv ",
    "±": r"\pm ", "∓": r"\mp ", "°": r"^\circ ", "º": r"^\circ ", "′": "'", "″": "''", "’": "'", "‘": "'",
    "“": '"', "”": '"', "∠": r"\angle ", "△": r"\triangle ", "⟨": r"\langle ", "⟩": r"\rangle ",
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "…": r"\ldots ", "⋯": r"\ldots ",
    "、": ",", "。": ".", "∶": ":", "ℯ": "e", "ⅈ": "i", "∣": "|", "∨": r"\text{ or }", "∧": r"\text{ and }",
    "或者": r"\text{ or }", "或": r"\text{ or }", "和": r"\text{ and }",
    "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2002": " ", "\u2003": " ", "\u3000": " ",
    "\u2044": "/", "µ": r"\mu ", "→": r"\to ", "\u200b": "", "\u200c": "", "\u200d": "", "\u2060": "", "\ufeff": "",
}  # fmt: skip
_SYMBOL = re.compile("|".join(map(re.escape, _SYMBOLS)))
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣʸᵏᵐᵗᵃᵇᵖ", "0123456789+-()nixykmtabp")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣʸᵏᵐᵗᵃᵇᵖ]+")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SUBSCRIPT = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_ROOT_SIGN = re.compile(r"([√∛∜])\s*(\d+(?:\.\d+)?|\\pi|[A-Za-z])?")
_ROOT_DEGREE = {"√": "", "∛": "[3]", "∜": "[4]"}
_VULGAR = re.compile("[¼-¾⅐-⅞]")

_ESCAPED = re.compile(r"(?<!\\)\\\\[A-Za-z{}]{2}|(?<!\\)\\\\[{}]")
_UNESCAPED = re.compile(r"(?<!\\)(?:\\\\)*\\(?!\\)")
_CIRCLED = re.compile("[①-⑳]")
# A lone dollar sign before an amount is money; what stands between two is mathematics.
_AMOUNT = re.compile(r"\$ ?(?=-?\d[\d,]*(?:\.\d+)?(?:[\s.,;)*]|/[a-z]{3}|$))")
_MODULE = re.compile(r"\b(?:np|math|numpy)\.(?=[a-z])")
_RUPEES = re.compile(r"\bRs\. ?(?=\d)")
_FRACTIONS = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_DEGREE = re.compile(r"\\(?:text)?degree(?![A-Za-z])")
_PRIMES = re.compile(r"\^ *(?:\{ *(?:\\prime *)+\}|\\prime(?![A-Za-z]))")
_ARROWS = re.compile(r"\\(?:long)?rightarrow(?![A-Za-z])")
_BRACES = re.compile(r"\\([lr])brace(?![A-Za-z])")
_STYLE = re.compile(r"\\(?:bf|it|rm|large|Large)(?![A-Za-z]) ?(?=[-+\d\\])")
_BINOMIALS = re.compile(r"\\[dt]binom(?![A-Za-z])")
_SIDES = re.compile(r"\\(?:left|right|middle)(?![A-Za-z])\s*\.?")
_SIZES = re.compile(r"\\(?:[bB]igg?[lrm]?|displaystyle|textstyle|scriptstyle|limits|nolimits)(?![A-Za-z])")
_SPACES = re.compile(r"\\(?:[,;: ]|(?:quad|qquad|enspace|enskip|thinspace|hfill|hspace\{[^{}]*\})(?![A-Za-z]))|~")
_GROUPED = re.compile(r",(?: *\\!)+ *(?=\d{3})")
_NO_SPACE = re.compile(r"\\!|\\(?:hphantom|phantom|vphantom)\{[^{}]*\}|\\/")
_ELL = re.compile(r"\\ell(?![A-Za-z])")
_RATE = re.compile(r"(\\\$-?\d[\d,]*(?:\.\d+)?)/(?=[a-z]{3})")  # $15/week
_ROW_END = re.compile(r"\\\\(?: ?\[ ?-?[\d.]+ ?(?:pt|em|ex|mm|cm|in) ?\])?")
# Formulas on lines of their own, and equations that a wide space keeps apart, are items of a list.
_LINES = re.compile(r"\$[ \t]*\n\s*\$")
_APART = re.compile(r"(=[^=,;]{1,200}?)\\q?quad(?![A-Za-z])(?=[^=]{1,200}=)")
_DELIMITERS = re.compile(r"(?<!\\)\$+|\\[()\[\]]")
_EMPTINESS = re.compile(r"\\(?:text|mbox|mathrm|textbf|boxed|left|right)(?![A-Za-z])|\\[ ,;!()\[\]]|[\s{}()$.,;:*]")
_BLANKS = re.compile(r"\s+")
# "32, 349" is two numbers, so that its space means something too.
_BLANK_INSIDE = re.compile(r"(?<!\d)(?<!\d,) | (?!\d)")


@lru_cache(256)
def tidy(answer: str, unescape: bool = True) -> str:
    r"""`answer` with plain symbols for Unicode ones, `\frac` for its variants, and no sizes, spacing or `$`.

    Spaces stay, one at a time. Linear in the length of the answer. unescape: halve backslashes that are all doubled.
    """
    text = answer
    if unescape and "\\\\" in text and _ESCAPED.search(text) and not _UNESCAPED.search(text):
        text = text.replace("\\\\", "\\")
    if not text.isascii():
        text = _plain_symbols(text)
    if text.count("$") == 1 and "\\$" not in text:
        text = _AMOUNT.sub(r"\\$", text)
    if "\\" in text:
        text = _APART.sub(r"\1, ", _LINES.sub("$, $", text))
        text = _ELL.sub("l", _RATE.sub(r"\1 per ", text))
        text = _FRACTIONS.sub(r"\\frac", text)
        text = _BINOMIALS.sub(r"\\binom", text)
        text = _STYLE.sub("", _DEGREE.sub(r"^\\circ ", text))
        text = _PRIMES.sub(lambda m: "'" * m.group().count("prime"), text)
        text = _ARROWS.sub(r"\\to ", text)
        text = _BRACES.sub(lambda m: r"\{" if m.group(1) == "l" else r"\}", text)
        text = _SIDES.sub("", text)
        text = _SIZES.sub(" ", text)
        text = _GROUPED.sub("{,}", text)
        text = _NO_SPACE.sub("", text)
        text = _ROW_END.sub("\0", text)
        text = _SPACES.sub(" ", text)
        text = _DELIMITERS.sub(" ", text)
        text = text.replace("\0", "\\\\")
    elif "$" in text:
        text = text.replace("$", " ")
    if "." in text:
        text = _RUPEES.sub("₹", _MODULE.sub("", text))
    text = _strip_end(_without_emphasis(_BLANKS.sub(" ", text).strip()))
    if text.startswith(("\\boxed", "\\fbox")):
        boxes = find_boxes(text)
        if len(boxes) == 1 and boxes[0].end == len(text):
            return _strip_end(boxes[0].content)
    return text


def has_substance(text: str) -> bool:
    """Whether anything is left besides typesetting and punctuation."""
    return bool(_EMPTINESS.sub("", text))


def compact(tidied: str) -> str:
    """Without the spaces that mean nothing: those that do not stand between two digits or numbers of a list."""
    return _BLANK_INSIDE.sub("", tidied)


def _plain_symbols(text: str) -> str:
    text = text.replace("\0", "")
    text = _SUPERSCRIPT.sub(lambda m: "^{" + m.group().translate(_SUPERSCRIPTS) + "}", text)
    text = _SUBSCRIPT.sub(lambda m: "_{" + m.group().translate(_SUBSCRIPTS) + "}", text)
    text = _CIRCLED.sub(lambda m: rf"\textcircled{{{ord(m.group()) - ord('①') + 1}}}", text)
    text = _VULGAR.sub(_vulgar_fraction, text)
    text = _ROOT_SIGN.sub(_root, text)
    text = _SYMBOL.sub(lambda m: _SYMBOLS[m.group()], text)
    return unicodedata.normalize("NFKC", text)


def _vulgar_fraction(match: re.Match[str]) -> str:
    over, under = unicodedata.normalize("NFKC", match.group()).split("\u2044")
    return rf"\frac{{{over}}}{{{under or 1}}}"


def _root(match: re.Match[str]) -> str:
    radicand = match.group(2)
    return rf"\sqrt{_ROOT_DEGREE[match.group(1)]}" + (f"{{{radicand}}}" if radicand else " ")


def _without_emphasis(text: str) -> str:
    """Without Markdown's marks around the whole: **5**, `5`."""
    for mark in ("**", "`"):
        if text.startswith(mark) and text.endswith(mark) and len(text) > 2 * len(mark):
            return text[len(mark) : -len(mark)].strip()
    return text


def _strip_end(text: str) -> str:
    """Without the full stop or comma of the sentence that the answer stood in, or a lone backslash."""
    while text and text[-1] in ".,;:。\\" and not text.endswith(("...", "\\.", "\\,", "\\;", "\\:", "\\\\")):
        text = text[:-1].rstrip()
    return text
