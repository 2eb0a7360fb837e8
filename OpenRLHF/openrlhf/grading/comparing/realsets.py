"""Sets of real numbers as unions of intervals: inequalities, interval notation and set builders alike."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from mpmath import mp

from openrlhf.grading.comparing import numeric
from openrlhf.grading.comparing.identity import constant_value, landmarks
from openrlhf.grading.comparing.numeric import TooComplex, Undefined, close, enough_digits, evaluate
from openrlhf.grading.comparing.rewriting import mapped
from openrlhf.grading.reading import expressions as ex

_DIGITS = 60
# Steps off the ends of a region, and how far out a condition is tried.
_STEPS = ("0.01", "1e-12", "1e-40")
_FAR = (10**4, 10**6, 10**9, 10**15, 10**30)
_MOST_INTEGERS = 200
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!=", "=": "="}


class NotRealSet(ValueError):
    """The expression does not describe a union of intervals with known ends."""


@dataclass(frozen=True)
class Interval:
    """From `low` to `high` (mpmath numbers, ±inf too); the flags say whether an end belongs to it."""

    low: Any
    low_in: bool
    high: Any
    high_in: bool


_HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda left, right: left < right and not close(left, right),
    ">": lambda left, right: left > right and not close(left, right),
    "<=": lambda left, right: left < right or close(left, right),
    ">=": lambda left, right: left > right or close(left, right),
    "!=": lambda left, right: not close(left, right),
    "=": lambda left, right: close(left, right),
}
EVERYTHING = (Interval(mp.ninf, False, mp.inf, False),)


def same_real_set(first: ex.Node, second: ex.Node) -> bool:
    """Whether two expressions describe the same set. Raises `NotRealSet` where one describes none."""
    first, second = (mapped(side, _as_unknown) for side in (first, second))

    def same() -> bool:
        for condition, other in ((first, second), (second, first)):
            if isinstance(condition, ex.Relation) and not _is_linear(condition):
                return _holds_on(condition, real_set(other))
        mine, theirs = real_set(first), real_set(second)
        return len(mine) == len(theirs) and all(map(_same_interval, mine, theirs))

    return enough_digits(same, _DIGITS)


def _as_unknown(part: ex.Node) -> ex.Node:
    """f(0), of which conditions may speak as of any unknown."""
    named = isinstance(part, ex.Call) and numeric.is_unknown(part.name) and not ex.variables(part)
    return ex.Symbol(repr(part)) if named else part


def _is_linear(condition: ex.Relation) -> bool:
    try:
        real_set(condition)
    except NotRealSet:
        return False
    return True


def _holds_on(condition: ex.Relation, region: tuple[Interval, ...]) -> bool:
    """Whether a condition like |x| < 3 holds on a region and nowhere else.

    Tried at the ends of the region, around and between them, and at points spread over the line.
    """
    names = {part.name for part in condition.walk() if isinstance(part, ex.Symbol)}
    if len(names) != 1 or not region or any(operator not in _HOLDS for operator in condition.operators):
        raise NotRealSet
    name = names.pop()
    ends = [end for i in region for end in (i.low, i.high) if not mp.isinf(end)]
    ends += [mp.mpf(number * scale) for number in landmarks(condition) for scale in (-2, -1, 1, 2)]
    points = [sign * end + step for end in ends for sign in (1, -1) for step in _steps(condition)]
    points += [mp.mpf(7 * step) / 11 for step in range(-60, 61)]
    points += [mp.mpf(sign * far) for far in (1000, *_FAR) for sign in (1, -1)]
    return all(_holds(condition, {name: point}) == _inside(point, region) for point in points)


def _steps(condition: ex.Relation) -> list[Any]:
    """Steps off a point: some that are small, and some that are so beside the tiny numbers in a condition."""
    steps = [mp.mpf(step) for step in _STEPS]
    for part in condition.walk():
        if isinstance(part, (ex.Number, ex.Power)) and not ex.variables(part):
            size = abs(_number(part))
            steps += [size / 2, mp.sqrt(size) / 2] if 0 < size < steps[1] else []
    return [0, *(sign * step for step in steps for sign in (1, -1))]


def _holds(condition: ex.Relation, values: dict[str, Any]) -> bool:
    try:
        sides = [evaluate(side, values, True) for side in condition.sides]
    except (Undefined, ZeroDivisionError):
        return False
    except TooComplex as error:
        raise NotRealSet from error
    neighbours = zip(sides, condition.operators, sides[1:], strict=False)
    return all(_HOLDS[operator](left, right) for left, operator, right in neighbours)


def _inside(point: Any, region: tuple[Interval, ...]) -> bool:
    for interval in region:
        if interval.low < point < interval.high and not close(point, interval.low):
            return not close(point, interval.high) or interval.high_in
        if (close(point, interval.low) and interval.low_in) or (close(point, interval.high) and interval.high_in):
            return True
    return False


def _same_interval(a: Interval, b: Interval) -> bool:
    same_ends = a.low_in == b.low_in and a.high_in == b.high_in
    return same_ends and close(a.low, b.low) and close(a.high, b.high)


def real_set(node: ex.Node) -> tuple[Interval, ...]:
    """The disjoint intervals, in order, that make up the set."""
    if isinstance(node, ex.Constant) and node.name in ("R", "empty"):
        return EVERYTHING if node.name == "R" else ()
    if isinstance(node, ex.Tuple) and len(node.items) == 2 and node.brackets != "<>":
        low, high = (_number(item) for item in node.items)
        return _united([Interval(low, node.brackets[0] == "[", high, node.brackets[1] == "]")])
    if isinstance(node, ex.SetOf):
        return _united([Interval(v, True, v, True) for v in (_number(item) for item in node.items)])
    if isinstance(node, ex.SetOperation):
        left, right = real_set(node.left), real_set(node.right)
        if node.operator == "cup":
            return _united([*left, *right])
        return _intersected(left, right if node.operator == "cap" else _complement(right))
    if isinstance(node, ex.SetBuilder):
        names = {part.name for condition in node.conditions for part in condition.walk() if isinstance(part, ex.Symbol)}
        if isinstance(node.element, ex.Symbol) and names and node.element.name not in names:
            raise NotRealSet
        return _conditions(node.conditions)
    if isinstance(node, ex.Relation):
        return _relation(node)
    if isinstance(node, ex.Listed):
        return _listed(node)
    raise NotRealSet


def enumerated(node: ex.Node) -> ex.Node:
    """{x ∈ Z | 1 ≤ x ≤ 3} as {1, 2, 3}; anything else as it is."""
    if not isinstance(node, ex.SetBuilder) or not isinstance(node.element, ex.Symbol):
        return node
    domains = [c for c in node.conditions if isinstance(c, ex.Relation) and c.operators == ("in",)]
    names = [domain.sides[1].name for domain in domains if isinstance(domain.sides[1], ex.Constant)]
    conditions = tuple(condition for condition in node.conditions if condition not in domains)
    if not names or len(names) != len(domains) or not {"Z", "N"} & set(names) or not conditions:
        return node
    try:
        numbers = _integers_in(ex.SetBuilder(node.element, conditions), lowest=1 if "N" in names else None)
    except NotRealSet:
        return node
    return ex.SetOf(tuple(ex.Number(Fraction(number)) for number in numbers))


def _integers_in(node: ex.Node, lowest: int | None) -> list[int]:
    """The integers of a bounded set, from `lowest` on if given. Raises `NotRealSet` where there are too many."""

    def integers() -> list[int]:
        numbers = []
        for interval in real_set(node):
            low = interval.low if lowest is None else max(interval.low, mp.mpf(lowest) - 1)
            if mp.isinf(low) or mp.isinf(interval.high) or interval.high - low > _MOST_INTEGERS:
                raise NotRealSet
            between = range(int(mp.floor(low)), int(mp.ceil(interval.high)) + 1)
            numbers += [number for number in between if _inside(mp.mpf(number), (interval,))]
        return [number for number in numbers if lowest is None or number >= lowest]

    return enough_digits(integers, _DIGITS)


def _listed(node: ex.Listed) -> tuple[Interval, ...]:
    first = node.items[0]
    if isinstance(first, ex.Relation) and first.operators == ("!=",):
        # x != 1, 2 excludes both, however they are joined.
        items = tuple(
            i if isinstance(i, ex.Relation) else replace(first, sides=(first.sides[0], i)) for i in node.items
        )
        return _conditions(items)
    excluded = [item for item in node.items if isinstance(item, ex.Relation) and item.operators == ("!=",)]
    if node.joined == "or" and excluded:
        # x ≤ -4 or x ≥ -2, x ≠ -1
        rest = ex.Listed(tuple(item for item in node.items if item not in excluded), "or")
        return _intersected(_listed(rest) if rest.items else EVERYTHING, _conditions(tuple(excluded)))
    if node.joined == "or":
        return _united([interval for item in node.items for interval in real_set(item)])
    together = _conditions(node.items)
    if together or not all(isinstance(item, ex.Relation) for item in node.items):
        return together
    # "x < 1, x > 3" cannot hold together; whoever wrote it means either.
    return _united([interval for item in node.items for interval in real_set(item)])


def _conditions(conditions: tuple[ex.Node, ...]) -> tuple[Interval, ...]:
    result: tuple[Interval, ...] = EVERYTHING
    variables: set[str] = set()
    for condition in conditions:
        variables |= ex.variables(condition)
        result = _intersected(result, real_set(condition))
    if len(variables) > 1:
        raise NotRealSet
    return result


def _relation(node: ex.Relation) -> tuple[Interval, ...]:
    if node.operators == ("in",):
        return real_set(node.sides[1])
    if node.operators == ("notin",):
        return _complement(real_set(node.sides[1]))
    result: tuple[Interval, ...] = EVERYTHING
    for left, operator, right in zip(node.sides, node.operators, node.sides[1:], strict=False):
        result = _intersected(result, _comparison(left, operator, right))
    return result


def _comparison(left: ex.Node, operator: str, right: ex.Node) -> tuple[Interval, ...]:
    """Solves a comparison that is linear in its one variable; several on the right of != are all excluded."""
    if operator not in _FLIPPED:
        raise NotRealSet
    names = {part.name for side in (left, right) for part in side.walk() if isinstance(part, ex.Symbol)}
    if len(names) != 1:
        raise NotRealSet
    parts = (*left.walk(), *right.walk())
    if any(isinstance(part, (ex.Tuple, ex.SetOf, ex.Ratio)) for part in parts):
        raise NotRealSet
    if any(isinstance(part, ex.Constant) and part.name == "infinity" for part in parts):
        return EVERYTHING
    bound, slope = _solved(left, right, names.pop())
    if slope < 0:
        operator = _FLIPPED[operator]
    if operator == "=":
        return (Interval(bound, True, bound, True),)
    if operator == "!=":
        return _complement((Interval(bound, True, bound, True),))
    if operator in (">", ">="):
        return (Interval(bound, operator == ">=", mp.inf, False),)
    return (Interval(mp.ninf, False, bound, operator == "<="),)


def _solved(left: ex.Node, right: ex.Node, name: str) -> tuple[Any, Any]:
    """Where left - right is zero, and its slope; it has to be linear."""
    difference = ex.difference(left, right)
    points = (mp.mpf(0), mp.mpf(1), mp.mpf("3.7"), mp.mpf("-2.3"))
    try:
        zero, one, *others = (evaluate(difference, {name: point}, True) for point in points)
    except (Undefined, TooComplex, ZeroDivisionError) as error:
        raise NotRealSet from error
    if any(isinstance(value, mp.mpc) for value in (zero, one, *others)):
        raise NotRealSet
    slope = one - zero
    scale = max(abs(zero), abs(slope))
    straight = all(numeric.negligible(o - zero - slope * p, scale) for o, p in zip(others, points[2:], strict=True))
    if numeric.negligible(slope, max(abs(zero), abs(one))) or not straight:
        raise NotRealSet
    return -zero / slope, slope


def _number(node: ex.Node) -> Any:
    try:
        value = constant_value(node)
    except (Undefined, TooComplex, ZeroDivisionError) as error:
        raise NotRealSet from error
    if isinstance(value, mp.mpc):
        raise NotRealSet
    return value


def _united(intervals: list[Interval]) -> tuple[Interval, ...]:
    kept = [i for i in intervals if i.low < i.high or (close(i.low, i.high) and i.low_in and i.high_in)]
    kept.sort(key=lambda i: (i.low, not i.low_in))
    merged: list[Interval] = []
    for interval in kept:
        if merged and _touch(merged[-1], interval):
            last = merged.pop()
            top = max((last, interval), key=lambda i: (i.high, i.high_in))
            low_in = last.low_in or (interval.low_in and close(interval.low, last.low))
            merged.append(Interval(last.low, low_in, top.high, top.high_in))
        else:
            merged.append(interval)
    return tuple(merged)


def _touch(first: Interval, second: Interval) -> bool:
    if close(first.high, second.low):
        return first.high_in or second.low_in
    return bool(second.low < first.high)


def _complement(intervals: tuple[Interval, ...]) -> tuple[Interval, ...]:
    result = []
    low, low_in = mp.ninf, False
    for interval in intervals:
        result.append(Interval(low, low_in, interval.low, not interval.low_in and interval.low != mp.ninf))
        low, low_in = interval.high, not interval.high_in
    result.append(Interval(low, low_in and low != mp.inf, mp.inf, False))
    return _united(result)


def _intersected(first: tuple[Interval, ...], second: tuple[Interval, ...]) -> tuple[Interval, ...]:
    result = []
    for a in first:
        for b in second:
            low = max((a, b), key=lambda i: (i.low, not i.low_in))
            high = min((a, b), key=lambda i: (i.high, i.high_in))
            result.append(Interval(low.low, low.low_in, high.high, high.high_in))
    return _united(result)
