"""The cheap exact path: equal strings and plain rational numbers, without parsing or another process."""

import re
from fractions import Fraction

from openrlhf.grading.policy import GradingPolicy
from openrlhf.grading.reading.text import compact, has_substance, tidy

_INTEGER = r"\d{1,3}(?:(?:,|\{,\}| )\d{3})+|\d+"
_DECIMAL = re.compile(rf"([-+]?)({_INTEGER})?(?:\.(\d*))?")
_SLASHED = re.compile(r"([-+]?\d+)/(\d+)")
_FRACTION = re.compile(r"([-+]?)\\frac(?:\{([-+]?\d+)\}|(\d))(?:\{([-+]?\d+)\}| ?(\d))")
_LONG = re.compile(r"\.\d{6}")
_GROUPING = re.compile(r"[^\d]")


def settle(prediction: str | None, gold: str, policy: GradingPolicy) -> tuple[bool, str] | None:
    """(equal, how) where strings and plain numbers decide, else None. Never more than linear time."""
    if prediction is None or not prediction.strip() or not gold.strip():
        return False, "no_answer"
    if prediction.strip() == gold.strip():
        return (True, "string") if has_substance(gold) else (False, "no_answer")
    if max(len(prediction), len(gold)) > policy.max_length:
        return False, "too_long"
    unescape = policy.escapes == "undone"
    mine, theirs = compact(tidy(prediction, unescape)), compact(tidy(gold, unescape))
    if not has_substance(mine) or not has_substance(theirs):
        return False, "no_answer"
    if mine == theirs:
        return True, "string"
    if policy.units == "lenient":
        mine, theirs = mine.removeprefix("\\$"), theirs.removeprefix("\\$")
    value = plain_number(mine)
    if value is None:
        return None
    expected = plain_number(theirs)
    if expected is None:
        return None
    if value == expected:
        return True, "number"
    rounds = policy.decimals != "exact" or (policy.long_decimals != "exact" and _LONG.search(f"{mine} {theirs}"))
    return None if rounds else (False, "number")


def plain_number(text: str) -> Fraction | None:
    """The value of a compacted integer, decimal or fraction of integers; None for anything else."""
    if (match := _DECIMAL.fullmatch(text)) and (match.group(2) or match.group(3)):
        sign, whole, decimals = match.groups(default="")
        digits = _GROUPING.sub("", whole) + decimals
        value = Fraction(int(digits), 10 ** len(decimals))
        return -value if sign == "-" else value
    if match := _SLASHED.fullmatch(text):
        over, under = int(match.group(1)), int(match.group(2))
    elif match := _FRACTION.fullmatch(text):
        over = int(match.group(2) or match.group(3))
        under = int(match.group(4) or match.group(5))
        over = -over if match.group(1) == "-" else over
    else:
        return None
    return Fraction(over, under) if under else None
