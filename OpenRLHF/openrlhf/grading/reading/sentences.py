r"""What one answer says around its value and the other does not: a sentence, a noun, a construct that is named.

Each of these is taken off only where the other answer has none of its own, so that "the mean is 5" stays apart
from "the median is 5".
"""

import re
from collections.abc import Callable
from functools import partial

# An inequality that is restated as an interval: "-9 < x < 0: (-9, 0)".
_RESTATED = re.compile(r"^[^:]*(?:[<>]|\\[lg]e)[^:]*: ?(?=[\[(])")
_SUBJECT = re.compile(r"(?:the|there|these|this|it|they|we|all|both)\b[^=<>]*", re.IGNORECASE)
_VERB = re.compile(
    r"\b(?:is|are|was|were|equals?|has|have|can|may|will|should|converges?|diverges?|tends?|approaches)\b",
    re.IGNORECASE,
)
_COPULA = re.compile(
    r"(?:(?:is|are|was|were|equals?)(?: (?:equal to|exactly|given by))?|(?:converge|diverge|tend)s? to|approaches"
    r"|has (?:an? )?(?:length|area|volume|value|measure|slope|perimeter|radius|probability)(?: of)?) ",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"\b(?:that|which|who|whose)\b", re.IGNORECASE)
_TURNS = re.compile(
    r"\b(?:not|n't|never|no|false|incorrect|wrong|if|unless|whether|when|where|while|and|but|so|because|since)\b|[,;]",
    re.IGNORECASE,
)
_NOT = re.compile(r"(?:not|never)\b", re.IGNORECASE)
_TYPEFACE = re.compile(r"\\(?:text|textbf|textit|mathrm|mbox)(?![A-Za-z]) ?\{([^{}]*)\}")
_NOUN = re.compile(r"^(?:the )?(?:year|number|value|integer|answer|result|size) (?=[-\d\\])", re.IGNORECASE)
_DRAWN = re.compile(r"^\\(?:triangle|angle|odot) ?(?=[A-Z])")
_CHINESE = re.compile(r"^(?P<subject>[\u4e00-\u9fff]{1,15})(?:为|是|等于|共有|有|:) ?(?=[-+\d\\A-Z(\[])")
# Negations, bounds, "about" and "or" change what follows them.
_CHINESE_TURNS = re.compile("[不非没无未至超大小多少约近或若当如果]")
# A clause that says what the letters mean.
_CLAUSE_BEHIND = re.compile(r"[,;]? (?:\\text ?\{ ?)?where (?:[^=<>\d]|(?<=[_{])\d)*$")
# A clause that says where an extremum lies, and a remark in brackets.
_ATTAINED = re.compile(
    r",? (?:\\text ?\{ ?)?(?:and |which |it )*(?:is )?(?:attained|achieved|reached|with equality|equality holds)"
    r" (?:when|if|iff|for|at|only|by|where)\b.*$"
    r"| \((?:we|because|since|as|note|attained|achieved|reached|when|at)\b[^()]*\)$"
)
_CONSTRUCT = re.compile(
    r"^\|? ?\\(?:int|iint|iiint|oint|sum|prod|lim|begin ?\{[bpvV]?matrix\}|begin ?\{array\})(?![A-Za-z])"
)
_BRACKETS = re.compile(r"\\[a-zA-Z]+|\\.|[{}=]")
_ONLY_CIRCLED = re.compile(r"(?:(?:\\textcircled\{\d+\}|\(\d{1,2}\))[ ,;]*(?:and )?)+")
_MARKED = re.compile(r"\\textcircled\{(\d+)\}|\((\d{1,2})\)")
_MIXED = re.compile(r"^(-?\d+) and (?=\d+/\d+$)")
_SEVERAL = re.compile(r"[,;]|\band\b|\bor\b")


def said_once(mine: str, gold: str) -> tuple[str, str]:
    """Both answers (tidied), without what one of them says around its value and the other does not say at all."""
    if (":" in mine) != (":" in gold):
        mine, gold = _RESTATED.sub("", mine), _RESTATED.sub("", gold)
    if "\\textcircled" in mine or "\\textcircled" in gold:
        mine, gold = _uncircled(mine), _uncircled(gold)
    place, noun, drawing, clause = (partial(rx.sub, "") for rx in (_ATTAINED, _NOUN, _DRAWN, _CLAUSE_BEHIND))
    for without in (place, _without_sentence, noun, drawing, clause, _without_chinese, _without_construct):
        mine, gold = _from_one(mine, gold, without)
    if _MIXED.match(mine) and not _SEVERAL.search(gold):
        mine = _MIXED.sub(r"\1 ", mine)
    if _MIXED.match(gold) and not _SEVERAL.search(mine):
        gold = _MIXED.sub(r"\1 ", gold)
    return mine, gold


def _from_one(mine: str, gold: str, without: Callable[[str], str]) -> tuple[str, str]:
    mine_rest, gold_rest = without(mine), without(gold)
    return (mine_rest, gold_rest) if (mine_rest == mine) != (gold_rest == gold) else (mine, gold)


def _without_sentence(text: str) -> str:
    """ "The 57th letter is D" without all but its end, unless something in the sentence turns what it says."""
    if " " not in text:
        return text
    plain = _TYPEFACE.sub(r"\1", text)
    verbs = list(_VERB.finditer(plain))
    if not verbs or not (copula := _COPULA.match(plain, verbs[-1].start())):
        return text
    subject, value = plain[: copula.start()], plain[copula.end() :].strip()
    if not _SUBJECT.fullmatch(subject) or _TURNS.search(subject) or _NOT.match(value):
        return text
    return text if not value or (len(verbs) > 1 and not _CLAUSE.search(subject)) else value


def _without_chinese(text: str) -> str:
    """平均数为73 without 平均数为."""
    match = _CHINESE.match(text)
    return text if match is None or _CHINESE_TURNS.search(match["subject"]) else text[match.end() :]


def _without_construct(text: str) -> str:
    r"""\int_0^1 x dx = 1/2, \lim … = 1, a determinant = 7: what the construct comes to."""
    if not _CONSTRUCT.match(text):
        return text
    depth, last = 0, -1
    for match in _BRACKETS.finditer(text):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if match.group() == "=" and not depth:
            last = match.end()
    return text[last:].strip() if last > 0 else text


def _uncircled(text: str) -> str:
    """①③ and (1)(3) as 1, 3; anything else with circled numbers in it as it is."""
    if _ONLY_CIRCLED.fullmatch(text):
        return ", ".join(match[1] or match[2] for match in _MARKED.finditer(text))
    return text
