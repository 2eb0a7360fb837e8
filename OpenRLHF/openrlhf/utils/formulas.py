"""LaTeX in text becomes MathML, which browsers set by themselves: no script, no fonts, nothing to fetch."""

import re
from functools import lru_cache
from html import escape, unescape
from typing import Any
from xml.etree.ElementTree import Element

# A formula of the page's data: MathML made here and its source. Everything else is text.
Part = str | dict[str, str]

_LONGEST = 1000  # characters of a formula
_FORMULA = re.compile(
    r"\$\$(?P<a>[^$]+)\$\$|\\\[(?P<b>.+?)\\\]|\\\((?P<c>.+?)\\\)|(?<![\\$\w])\$(?P<d>[^$\n]+?)(?<![\\\s])\$(?![\w$])",
    re.DOTALL,
)
_TAGS = frozenset(re.findall(r"\w+", """
    math mrow mi mn mo ms mtext mspace mfrac msqrt mroot mstyle merror mpadded mphantom mfenced menclose
    msub msup msubsup munder mover munderover mmultiscripts mprescripts none mtable mtr mtd mlabeledtr
"""))  # fmt: skip
_ATTRIBUTES = frozenset(re.findall(r"\w+", """
    accent accentunder columnalign columnlines columnspacing displaystyle fence form largeop
    linethickness lspace mathvariant maxsize minsize movablelimits notation rowlines rowspacing rspace
    scriptlevel separator stretchy symmetric voffset width height depth
"""))  # fmt: skip


def typeset(text: str, budget: list[int]) -> list[Part]:
    """Text and formulas in turn. What is no formula, or is one that cannot be set, stays text.

    budget: how many formulas may still be set; counted down.
    """
    parts: list[Part] = []
    end = 0
    for found in _FORMULA.finditer(text):
        source = next(group for group in found.groups() if group is not None)
        if budget[0] <= 0 or len(source) > _LONGEST:
            continue
        budget[0] -= 1
        display = found["a"] is not None or found["b"] is not None
        made = mathml(source.strip(), display)
        if made is None:
            continue
        if found.start() > end:
            parts.append(text[end : found.start()])
        parts.append({"math": made, "source": found[0]})
        end = found.end()
    if end < len(text):
        parts.append(text[end:])
    return parts


@lru_cache(maxsize=4096)
def mathml(source: str, display: bool = False) -> str | None:
    """Markup with no other elements and attributes than those of formulas; None for what is no LaTeX.

    The converter passes text, links, styles and classes through as they are, so its tree is written anew here.
    """
    from latex2mathml.converter import convert_to_element

    try:
        tree = convert_to_element(source, display="block" if display else "inline")
        return _written(tree)
    except Exception:  # whatever a converter makes of text that a model wrote
        return None


def _written(element: Element) -> str:
    tag: Any = element.tag
    name = tag.rpartition("}")[2]
    inside = escape(unescape(element.text or ""), quote=False) + "".join(
        _written(child) + escape(unescape(child.tail or ""), quote=False) for child in element
    )
    if name not in _TAGS:
        return inside
    allowed = [(key, value) for key, value in element.attrib.items() if key in _ATTRIBUTES]
    said = "".join(f' {key}="{escape(unescape(value))}"' for key, value in allowed)
    if name == "math":
        said += f' display="{"block" if element.get("display") == "block" else "inline"}"'
    return f"<{name}{said}>{inside}</{name}>"
