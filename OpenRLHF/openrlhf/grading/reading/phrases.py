"""Sets of numbers that are described in words, written as mathematics: "all positive reals", "multiples of 14"."""

import re

_ALL = r"^(?:\\text ?\{ ?)?(?:(?:the )?set of )?(?:all |every |any )?(?:the )?"
_END = r" ?\}? ?\$? ?(?:[a-z] ?)?$"
_SIGN = r"(?P<sign>(?:non ?-? ?)?(?:positive|negative))"
_REALS = r"(?:reals?|real numbers?|real values?)"
_SIGNED_REALS = re.compile(rf"{_ALL}(?:{_SIGN} {_REALS}|real {_SIGN.replace('sign', 'behind')} numbers?){_END}")
_BOUNDED_REALS = re.compile(
    rf"{_ALL}{_REALS}(?: [a-z])?(?: that are| which are)? (?P<side>(?:strictly )?(?:greater|more|larger|less|smaller)"
    r" than(?: or equal to)?|at least|at most|above|below) ?\}? ?(?P<bound>[-\d\\(].*?)$"
)
_MULTIPLES = re.compile(
    rf"{_ALL}(?P<positive>positive )?(?:integer )?multiples? of ?\}}? ?\$?(?P<step>\d+)\$?"
    r"(?P<no_zero>(?: |,|\\text ?\{)*(?:except|other than|but not|excluding)(?: for)? ?\}? ?\$?(?:0|zero)\$?)?\}?$"
)
_POWERS = re.compile(rf"{_ALL}(?:integer |non-?negative )?powers? of ?\}}? ?\$?(?P<base>\d+|two|three|ten)\$?\}}?$")
_INTEGERS = re.compile(rf"{_ALL.replace('(?:all |every |any )?', '(?:all |every |any )')}(?:{_SIGN} )?integers{_END}")
_PARITY = re.compile(rf"{_ALL}(?P<parity>odd|even) (?:integers|whole numbers|numbers){_END}")
_INTERVALS = {
    "positive": r"(0, \infty)", "negative": r"(-\infty, 0)", "nonnegative": r"[0, \infty)",
    "nonpositive": r"(-\infty, 0]",
}  # fmt: skip
_WORDS = {"two": "2", "three": "3", "ten": "10"}
# Whole numbers of one parity: named by a letter they are of whatever sign the question gave that letter.
_ODD_OR_EVEN = re.compile(
    r"(?:all |every |any |the )?(?P<first>positive |negative )?(?P<parity>odd|even) (?P<second>positive |negative )?"
    r"(?:integers?|numbers?|values?(?: of)?)(?: \w)?|[a-z] (?:is |must be |are )?(?:an? )?(?P<named>odd|even)"
    r"(?: (?:positive )?(?:integers?|numbers?))?|(?:all |every |any )?(?P<before>odd|even) [a-z]"
)


def written_out(text: str) -> str:
    """A tidied answer; a set in words as an interval, as the multiples or the powers that it names."""
    if " " not in text or "\\begin" in text:
        return text
    if match := _SIGNED_REALS.match(text):
        return _INTERVALS[re.sub(r"[ -]", "", match["sign"] or match["behind"])]
    if match := _BOUNDED_REALS.match(text):
        side, bound = match["side"], match["bound"].strip(" }$")
        closed = "equal" in side or side.startswith("at ")
        if any(word in side for word in ("greater", "more", "larger", "least", "above")):
            return f"{'[' if closed else '('}{bound}, \\infty)"
        return f"(-\\infty, {bound}{']' if closed else ')'}"
    if match := _MULTIPLES.match(text):
        condition = r"k \ge 1" if match["positive"] else r"k \ne 0" if match["no_zero"] else r"k \in \mathbb{Z}"
        return f"{match['step']}k, {condition}"
    if match := _INTEGERS.match(text):
        return rf"\text{{all {match['sign']} integers}}" if match["sign"] else r"\mathbb{Z}"
    if match := _POWERS.match(text):
        return f"{_WORDS.get(match['base'], match['base'])}^k"
    return text


def parity_written_out(text: str) -> str:
    """ "all odd integers" as the general solution 2k + 1."""
    match = _PARITY.match(text)
    return rf"2k{'+1' if match['parity'] == 'odd' else ''}, k \in \mathbb{{Z}}" if match else text


def same_parity(first: str, second: str) -> bool | None:
    """Whether two answers in plain words name the same odd or even numbers; None unless both name some."""
    mine, theirs = _ODD_OR_EVEN.fullmatch(first), _ODD_OR_EVEN.fullmatch(second)
    if mine is None or theirs is None:
        return None
    parities = {match["parity"] or match["named"] or match["before"] for match in (mine, theirs)}
    signs = [
        (match["first"] or match["second"] or "").strip() for match in (mine, theirs) if match["parity"] is not None
    ]
    return len(parities) == 1 and len(set(signs)) < 2
