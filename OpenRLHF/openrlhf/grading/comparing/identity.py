"""Whether two expressions are the same number, or the same function of their variables.

Rational numbers are compared exactly. Other constants are computed to so many digits that a difference would
show, unless it were smaller than one part in 10^40. Expressions with variables are compared at sample points.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from mpmath import mp

from openrlhf.grading.comparing.numeric import NotExact, TooComplex, Undefined, evaluate, exact, sample
from openrlhf.grading.reading import expressions as ex

_DIGITS = 60
_AGREEMENT = 40
_MOST_DIGITS = 2_000
_POINT_DIGITS = 40
_POINT_AGREEMENT = 25
_ROUNDS = 8
_ENOUGH = 4
_MOST_PAIRED = 60


def same_value(first: ex.Node, second: ex.Node) -> bool:
    """Whether two expressions are equal. Raises `TooComplex` or `Undefined` where that cannot be computed."""
    if first == second:
        return True
    try:
        return exact(first) == exact(second)
    except NotExact:
        pass
    names = ex.variables(first) | ex.variables(second)
    return any(
        _same_constants(first, second, base) if not names else _same_functions(first, second, names, base)
        for base in _log_bases(first, second)
    )


def constant_value(node: ex.Node) -> Any:
    """An mpmath number (±infinity for infinity), or raises `Undefined` where variables are left."""
    if isinstance(node, ex.Constant) and node.name == "infinity":
        return mp.inf
    if isinstance(node, ex.Product) and node.factors == (ex.MINUS_ONE, ex.Constant("infinity")):
        return mp.ninf
    if ex.variables(node):
        raise Undefined
    with mp.workdps(_DIGITS):
        return evaluate(node, {}, real=False)


def proportional(first: ex.Node, second: ex.Node) -> Fraction | int:
    """The sign (1, -1) of the constant c with first = c·second for all values of the variables; 0 if none."""
    names = sorted(ex.variables(first) | ex.variables(second))
    ratio = None
    agreeing = 0
    with mp.workdps(_POINT_DIGITS):
        for values in _points(names):
            try:
                over, under = evaluate(first, values, False), evaluate(second, values, False)
            except (Undefined, ZeroDivisionError):
                continue
            if under == 0 or over == 0:
                return 0
            current = over / under
            if ratio is not None and not _close(current, ratio, _POINT_AGREEMENT):
                return 0
            ratio = current
            agreeing += 1
            if agreeing == _ENOUGH or (not names and agreeing):
                break
    if ratio is None or agreeing < min(_ENOUGH, 1 + 3 * bool(names)) or abs(mp.im(ratio)) > 1e-20:
        return 0
    return 1 if mp.re(ratio) > 0 else -1


def differ_by_constant(first: ex.Node, second: ex.Node) -> bool:
    """Whether two functions differ by the same number everywhere."""
    names = sorted(ex.variables(first) | ex.variables(second))
    difference = ex.difference(first, second)
    with mp.workdps(_POINT_DIGITS):
        if _contains(first, "abs") != _contains(second, "abs"):
            # ln |x| claims the negative numbers too.
            return False
        values = [_value_at(difference, point, True, 0) for point in _points(names)]
        known = [value for value in values if value is not None]
        scale = mp.mpf(10) ** -_POINT_AGREEMENT
        return len(known) >= _ENOUGH and all(abs(value - known[0]) <= scale * max(abs(value), 1) for value in known)


def _same_constants(first: ex.Node, second: ex.Node, log_base: int) -> bool:
    digits = _DIGITS
    while True:
        with mp.workdps(digits):
            mine = evaluate(first, {}, False, log_base)
            theirs = evaluate(second, {}, False, log_base)
            if not _close(mine, theirs, digits - _DIGITS + _AGREEMENT):
                return False
            if (mine == 0) != (theirs == 0) and not (_cancels(first) and _cancels(second)):
                return False
            # Numbers so large that the digits computed do not reach down to the unit: compute more.
            needed = _DIGITS + max(0, int(mp.mag(mine or 1) * 0.302))
        if digits >= needed:
            return True
        if needed > _MOST_DIGITS:
            raise TooComplex
        digits = needed


def _same_functions(first: ex.Node, second: ex.Node, names: set[str], log_base: int) -> bool:
    ordered = sorted(names)
    with mp.workdps(_POINT_DIGITS):
        if not (_imaginary(first) or _imaginary(second)):
            agreed = _agree(first, second, ordered, log_base, True)
            if agreed is not None:
                return agreed
        agreed = _agree(first, second, ordered, log_base, False)
    if agreed is None:
        raise Undefined
    return agreed


def _agree(first: ex.Node, second: ex.Node, names: list[str], log_base: int, real: bool) -> bool | None:
    """Whether all points agree at which both sides have values; None where there are too few such points.

    Real values only: two sides may have different domains (ln x² and 2 ln x), except where one of them has an
    absolute value and so claims the larger domain (ln |x| and ln x).
    """
    claims_domain = _contains(first, "abs") != _contains(second, "abs")
    agreeing = 0
    for values in _points(names):
        mine = _value_at(first, values, real, log_base)
        theirs = _value_at(second, values, real, log_base)
        if mine is None or theirs is None:
            if real and claims_domain and (mine is None) != (theirs is None):
                return False
            continue
        if not _close(mine, theirs, _POINT_AGREEMENT):
            return False
        agreeing += 1
    return True if agreeing >= 2 else None


def _value_at(node: ex.Node, values: dict[str, Any], real: bool, log_base: int) -> Any:
    try:
        return evaluate(node, values, real, log_base)
    except (Undefined, ZeroDivisionError):
        return None


def _points(names: list[str]) -> Iterable[dict[str, Any]]:
    """Sample points, a function of the names alone: first positive ones, then mixed signs."""
    for round_ in range(_ROUNDS):
        values = {}
        for place, name in enumerate(names):
            number = sample(name, round_)
            if round_ == 2:
                number /= 4
            if round_ == 3 or (round_ > 3 and (round_ + place) % 2):
                number = -number
            values[name] = mp.mpf(number.numerator) / number.denominator
        yield values


def _close(first: Any, second: Any, digits: int) -> bool:
    if mp.isinf(first) or mp.isinf(second) or mp.isnan(first) or mp.isnan(second):
        return bool(first == second)
    scale = max(abs(first), abs(second))
    # Where both are nothing but rounding (a sum that cancels), they are zero.
    return bool(scale <= mp.mpf(10) ** (5 - mp.dps) or abs(first - second) <= scale * mp.mpf(10) ** -digits)


def _cancels(node: ex.Node) -> bool:
    """Whether rounding may leave something tiny for zero or the other way round: in sums and in functions."""
    return isinstance(node, ex.Number) or any(isinstance(part, (ex.Sum, ex.Call)) for part in node.walk())


def _contains(node: ex.Node, name: str) -> bool:
    return any(isinstance(part, ex.Call) and part.name == name for part in node.walk())


def _imaginary(node: ex.Node) -> bool:
    return any(isinstance(part, ex.Constant) and part.name == "i" for part in node.walk())


def _log_bases(first: ex.Node, second: ex.Node) -> tuple[int, ...]:
    """A log without a base may be the natural or the decimal one; either way it is the same on both sides."""

    def unspecified(part: ex.Node) -> bool:
        return isinstance(part, ex.Call) and part.name == "log" and len(part.arguments) == 1

    has_any = any(unspecified(part) for node in (first, second) for part in node.walk())
    return (0, 10) if has_any else (0,)


Same = Callable[[ex.Node, ex.Node], bool]


def same_multiset(first: Iterable[ex.Node], second: Iterable[ex.Node], same: Same) -> bool:
    """Whether the items of one side can be paired off with equal ones of the other.

    Plain rational numbers are paired off first, in linear time. Raises `TooComplex` where too many are left.
    """
    mine, left = list(first), list(second)
    if len(mine) != len(left):
        return False
    mine, left = _without_equal_numbers(mine, left)
    if len(mine) > _MOST_PAIRED:
        raise TooComplex
    for item in mine:
        for index, other in enumerate(left):
            if same(item, other):
                del left[index]
                break
        else:
            return False
    return True


def _without_equal_numbers(first: list[ex.Node], second: list[ex.Node]) -> tuple[list[ex.Node], list[ex.Node]]:
    counts = Counter(_rational(item) for item in first)
    shared = counts & Counter(_rational(item) for item in second)
    shared.pop(None, None)

    def rest(items: list[ex.Node]) -> list[ex.Node]:
        left = Counter(shared)
        kept = []
        for item in items:
            value = _rational(item)
            if value is not None and left[value] > 0:
                left[value] -= 1
            else:
                kept.append(item)
        return kept

    return rest(first), rest(second)


def _rational(node: ex.Node) -> Fraction | None:
    try:
        return exact(node)
    except (NotExact, Undefined, TooComplex):
        return None
