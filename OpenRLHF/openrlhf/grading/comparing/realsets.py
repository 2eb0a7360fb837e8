"""Sets of real numbers as unions of intervals: inequalities, interval notation and set builders alike."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from mpmath import mp

from openrlhf.grading.comparing.identity import constant_value
from openrlhf.grading.comparing.numeric import TooComplex, Undefined, evaluate
from openrlhf.grading.reading import expressions as ex

_CLOSE = 30
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
    "<": lambda left, right: left < right and not _equal(left, right),
    ">": lambda left, right: left > right and not _equal(left, right),
    "<=": lambda left, right: left < right or _equal(left, right),
    ">=": lambda left, right: left > right or _equal(left, right),
    "!=": lambda left, right: not _equal(left, right),
    "=": lambda left, right: _equal(left, right),
}
EVERYTHING = (Interval(mp.ninf, False, mp.inf, False),)


def same_real_set(first: ex.Node, second: ex.Node) -> bool:
    """Whether two expressions describe the same set. Raises `NotRealSet` where one describes none."""
    with mp.workdps(60):
        for condition, other in ((first, second), (second, first)):
            if isinstance(condition, ex.Relation) and not _is_linear(condition):
                return _holds_on(condition, real_set(other))
        mine, theirs = real_set(first), real_set(second)
        return len(mine) == len(theirs) and all(map(_same_interval, mine, theirs))


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
    points = [end + shift for end in ends for shift in (0, mp.mpf("0.01"), -mp.mpf("0.01"))]
    points += [mp.mpf(7 * step) / 11 for step in range(-60, 61)] + [mp.mpf(-1000), mp.mpf(1000)]
    return all(_holds(condition, {name: point}) == _inside(point, region) for point in points)


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
        if interval.low < point < interval.high and not _equal(point, interval.low):
            return not _equal(point, interval.high) or interval.high_in
        if (_equal(point, interval.low) and interval.low_in) or (_equal(point, interval.high) and interval.high_in):
            return True
    return False


def _same_interval(a: Interval, b: Interval) -> bool:
    same_ends = a.low_in == b.low_in and a.high_in == b.high_in
    return same_ends and _equal(a.low, b.low) and _equal(a.high, b.high)


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
    with mp.workdps(60):
        numbers = []
        for interval in real_set(node):
            low = interval.low if lowest is None else max(interval.low, mp.mpf(lowest) - 1)
            if mp.isinf(low) or mp.isinf(interval.high) or interval.high - low > _MOST_INTEGERS:
                raise NotRealSet
            between = range(int(mp.floor(low)), int(mp.ceil(interval.high)) + 1)
            numbers += [number for number in between if _inside(mp.mpf(number), (interval,))]
        return [number for number in numbers if lowest is None or number >= lowest]


def _listed(node: ex.Listed) -> tuple[Interval, ...]:
    first = node.items[0]
    if isinstance(first, ex.Relation) and first.operators == ("!=",):
        # x != 1, 2 excludes both, however they are joined.
        items = tuple(
            i if isinstance(i, ex.Relation) else replace(first, sides=(first.sides[0], i)) for i in node.items
        )
        return _conditions(items)
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
    slope = one - zero
    straight = all(_equal(other, zero + slope * point) for other, point in zip(others, points[2:], strict=True))
    if slope == 0 or not straight:
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


def _equal(first: Any, second: Any) -> bool:
    if mp.isinf(first) or mp.isinf(second):
        return bool(first == second)
    return bool(abs(first - second) <= max(abs(first), abs(second), 1) * mp.mpf(10) ** -_CLOSE)


def _united(intervals: list[Interval]) -> tuple[Interval, ...]:
    kept = [i for i in intervals if i.low < i.high or (_equal(i.low, i.high) and i.low_in and i.high_in)]
    kept.sort(key=lambda i: (i.low, not i.low_in))
    merged: list[Interval] = []
    for interval in kept:
        if merged and _touch(merged[-1], interval):
            last = merged.pop()
            top = max((last, interval), key=lambda i: (i.high, i.high_in))
            low_in = last.low_in or (interval.low_in and _equal(interval.low, last.low))
            merged.append(Interval(last.low, low_in, top.high, top.high_in))
        else:
            merged.append(interval)
    return tuple(merged)


def _touch(first: Interval, second: Interval) -> bool:
    if _equal(first.high, second.low):
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
