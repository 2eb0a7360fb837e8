"""Whether two expressions are the same number, or the same function of their variables.

Rational numbers are compared exactly, rational functions modulo a prime (`residues`). Everything else is computed to
as many digits as its magnitudes call for (`numeric.enough_digits`): constants once, functions at sample points. The
points are chosen against the functions: whole numbers where something is rounded to whole numbers, numbers beyond every
number written down where something has a corner.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import partial
from itertools import islice, product
from typing import Any

from mpmath import mp

from openrlhf.grading.comparing import numeric
from openrlhf.grading.comparing.numeric import TooComplex, Undefined, close, enough_digits, evaluate, exact
from openrlhf.grading.comparing.residues import same_ratio, same_rational
from openrlhf.grading.reading import expressions as ex

_DIGITS = 60
_POINT_DIGITS = 40
_ROUNDS = 8
_ENOUGH = 4
_MOST_PAIRED = 60
# Functions with steps, and functions with corners.
_STEPS = frozenset(("floor", "ceil"))
_CORNERS = frozenset(("abs", "max", "min", "arg", *_STEPS))
_ONLY_WHOLE = frozenset(("factorial", "factorial2", "binomial"))
_TURNING = frozenset(("sin", "cos", "tan", "cot", "sec", "csc"))
# Letters that stand for whole numbers by habit, with subscripts too.
_WHOLE_LETTERS = frozenset("nkmjlNMK")
_LARGEST_LANDMARK = 10**6
_MOST_LANDMARKS = 8
_MOST_CORNERS = 4
_MOST_MOVED = 3
_FEW = 24
# Numbers below one, a few, many: no domain is without some of them.
_SPANS = (Fraction(1, 4), Fraction(1), Fraction(7), Fraction(90))


def same_value(first: ex.Node, second: ex.Node) -> bool:
    """Whether two expressions are equal. Raises `TooComplex` or `Undefined` where that cannot be computed."""
    if first == second:
        return True
    try:
        return exact(first) == exact(second)
    except (numeric.NotExact, TooComplex):
        pass
    if (same := same_rational(first, second)) is not None:
        return same
    names = sorted(ex.variables(first) | ex.variables(second))
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
    return enough_digits(lambda: evaluate(node, {}, real=False), max(_DIGITS, mp.dps))


def proportional(first: ex.Node, second: ex.Node) -> int:
    """The sign (1, -1) of the constant c with first = c·second for all values of the variables; 0 if none."""
    names = sorted(ex.variables(first) | ex.variables(second))
    if not names:
        return 0  # any two numbers are multiples of each other
    same = same_ratio(first, second)
    if same is False:
        return 0
    ratios = enough_digits(lambda: _ratios(first, second, names, 1 if same else _ENOUGH), _POINT_DIGITS)
    if not ratios or (not same and len(ratios) < _ENOUGH):
        return 0
    ratio = ratios[0]
    return 0 if ratio == 0 or abs(mp.im(ratio)) > abs(ratio) * 1e-20 else int(mp.sign(mp.re(ratio)))


def _ratios(first: ex.Node, second: ex.Node, names: list[str], most: int) -> list[Any]:
    """Quotients at sample points, all the same; none where two of them differ or a side is zero."""
    ratios: list[Any] = []
    for values in _points(names, ex.Sum((first, second))):
        try:
            over, under = evaluate(first, values, False), evaluate(second, values, False)
        except (Undefined, ZeroDivisionError):
            continue
        if under == 0 or over == 0 or (ratios and not close(over / under, ratios[0])):
            return []
        ratios.append(over / under)
        if len(ratios) == most:
            break
    return ratios


def differ_by_constant(first: ex.Node, second: ex.Node) -> bool:
    """Whether two functions differ by the same number everywhere."""
    if _contains(first, {"abs"}) != _contains(second, {"abs"}):
        # ln |x| claims the negative numbers too.
        return False
    names = sorted(ex.variables(first) | ex.variables(second))
    difference = ex.difference(first, second)

    def constant() -> bool:
        values = [_value_at(difference, point, True, 0) for point in _points(names, ex.Sum((first, second)))]
        known = [value for value in values if value is not None]
        same = all(numeric.negligible(value - known[0], max(abs(value), 1)) for value in known)
        return len(known) >= _ENOUGH and same

    return enough_digits(constant, _POINT_DIGITS)


def _same_constants(first: ex.Node, second: ex.Node, log_base: int) -> bool:
    return enough_digits(
        lambda: close(evaluate(first, {}, False, log_base), evaluate(second, {}, False, log_base)), _DIGITS
    )


def _same_functions(first: ex.Node, second: ex.Node, names: list[str], log_base: int) -> bool:
    both = ex.Sum((first, second))
    whole = {name for name in names if name[0] in _WHOLE_LETTERS and name[1:2] in ("", "_")}
    if stepped := _names_in(both, _STEPS):
        agreed = _agree(first, second, _whole_points(names, stepped, both, whole), log_base, True)
        if agreed and whole != set(names):
            agreed = _agree(first, second, _points(names, both, whole), log_base, True) is not False
    elif whole and _means_whole(both):
        # n! and (-1)^n are functions of whole numbers.
        points = _points(names, both, whole)
        if whole == set(names):
            points = islice(_whole_points(names, [], both, whole), _FEW)
        agreed = _agree(first, second, points, log_base, False)
    else:
        agreed = None if ex.has_constant(both, "i") else _agree(first, second, _points(names, both), log_base, True)
        if agreed is None:
            agreed = _agree(first, second, _points(names, both), log_base, False)
    if agreed is None:
        raise Undefined
    return agreed


def _agree(first: ex.Node, second: ex.Node, points: Iterable[dict[str, Any]], log_base: int, real: bool) -> bool | None:
    """Whether all points agree at which both sides have values; None where there are too few such points.

    Real values only: two sides may have different domains (ln x² and 2 ln x), except where one of them has an
    absolute value and so claims the larger domain (ln |x| and ln x).
    """
    claims_domain = real and _contains(first, {"abs"}) != _contains(second, {"abs"})
    agreeing = 0
    too_complex = False

    def at_point(values: dict[str, Any]) -> bool | None:
        mine = _value_at(first, values, real, log_base)
        theirs = _value_at(second, values, real, log_base)
        if mine is None or theirs is None:
            return False if claims_domain and (mine is None) != (theirs is None) else None
        return close(mine, theirs)

    for values in points:
        try:
            same = enough_digits(partial(at_point, values), _POINT_DIGITS)
        except TooComplex:
            too_complex = True
            continue
        if same is False:
            return False
        agreeing += same is True
    if too_complex and agreeing < _ENOUGH:
        raise TooComplex
    return True if agreeing >= 2 else None


def _value_at(node: ex.Node, values: dict[str, Any], real: bool, log_base: int) -> Any:
    try:
        return evaluate(node, values, real, log_base)
    except (Undefined, ZeroDivisionError):
        return None


def _points(names: list[str], node: ex.Node, whole: Iterable[str] = ()) -> Iterator[dict[str, Fraction]]:
    """Sample points, a function of the names and numbers alone: first positive ones, then mixed signs.

    Where a function has corners or steps, also points beyond the numbers that are written in it. whole: names that
    get whole numbers.
    """
    for round_ in range(_ROUNDS):
        values = {}
        for place, name in enumerate(names):
            number = numeric.sample(name, round_)
            if name in whole:
                values[name] = Fraction(1 + round(8 * number))
                continue
            if round_ == 2:
                number /= 4
            if round_ == 3 or (round_ > 3 and (round_ + place) % 2):
                number = -number
            values[name] = number
        yield values
    if _has_corners(node):
        moved = [names, *([name] for name in names[:_MOST_MOVED] if len(names) > 1)]
        for landmark, among, sign in product(landmarks(node)[-_MOST_CORNERS:], moved, (1, -1)):
            for turn in (1, -1) if len(among) > 1 else (1,):
                values = {name: numeric.sample(name, landmark) for name in names}
                for place, name in enumerate(names):
                    if name in among:
                        values[name] = sign * turn**place * landmark * (1 + values[name])
                yield values


def _has_corners(node: ex.Node) -> bool:
    """Whether a function is put together from others: by an absolute value, or by the root of something squared."""
    for part in node.walk():
        if isinstance(part, ex.Call) and part.name in _CORNERS:
            return True
        if isinstance(part, ex.Call) and part.name == "root" and ex.variables(part):
            inner = part.arguments[0].walk()
            if any(isinstance(i, ex.Power) and i.exponent != ex.MINUS_ONE and ex.variables(i.base) for i in inner):
                return True
    return False


def _whole_points(
    names: list[str], stepped: Iterable[str], node: ex.Node, whole: Iterable[str]
) -> Iterator[dict[str, Fraction]]:
    """Points of whole numbers: small ones in a row, powers, and the neighbours of numbers written down.

    Every name of `stepped`, which stand where a function steps, runs through all of them, the others meanwhile through
    small ones, or through any numbers if they neither step nor are `whole`; then all meet at random.
    """
    special: list[int] = []
    for landmark in landmarks(node):
        near = (landmark, 2 * landmark, 3 * landmark, landmark**2, landmark**3, landmark**4)
        special += [number + shift for number in near for shift in (-1, 0, 1)]
    choices = sorted({number for number in (*range(1, 41), 63, 64, 65, 99, 100, 101, *special) if number > 0})
    if len(names) == 1:
        yield from ({names[0]: Fraction(number)} for number in choices)
        return

    def small(name: str, round_: int) -> Fraction:
        if name not in stepped and name not in whole:
            return numeric.sample(name, round_) * _SPANS[round_ % len(_SPANS)]
        return Fraction(1 + int(numeric.sample(name, round_) * 10**6) % 12)

    for name in stepped:
        for number, round_ in product(choices, range(1 if {name, *whole} >= set(names) else len(_SPANS))):
            yield {other: small(other, round_) if other != name else Fraction(number) for other in names}
    for round_ in range(_FEW):
        yield {name: small(name, round_) for name in names}


def landmarks(node: ex.Node) -> list[int]:
    """The whole numbers of moderate size about the numbers that are written in an expression, smallest first."""
    numbers = {
        max(abs(number.numerator), number.denominator)
        for part in node.walk()
        if isinstance(part, ex.Number) and (number := part.value)
    }
    return sorted(number for number in numbers | {5} if 1 < number <= _LARGEST_LANDMARK)[-_MOST_LANDMARKS:]


def _means_whole(node: ex.Node) -> bool:
    r"""Whether letters are whole numbers here: in factorials, in \cos n\pi, in powers of negative numbers."""
    for part in node.walk():
        if isinstance(part, ex.Call) and part.name in _ONLY_WHOLE and ex.variables(part):
            return True
        if isinstance(part, ex.Call) and part.name in _TURNING and ex.variables(part):
            return any(inner == ex.Constant("pi") for inner in part.walk())
        if isinstance(part, ex.Power) and ex.variables(part.exponent):
            negative = any(isinstance(inner, ex.Number) and inner.value < 0 for inner in part.base.walk())
            if negative or ex.has_constant(part, "i"):
                return True
    return False


def _names_in(node: ex.Node, functions: Iterable[str]) -> list[str]:
    """The names of the symbols inside of calls of these functions."""
    calls = [part for part in node.walk() if isinstance(part, ex.Call) and part.name in functions]
    return sorted({name for call in calls for name in ex.variables(call)})


def _contains(node: ex.Node, names: Iterable[str]) -> bool:
    return any(isinstance(part, ex.Call) and part.name in names for part in node.walk())


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
    counts = Counter(rational(item) for item in first)
    shared = counts & Counter(rational(item) for item in second)
    shared.pop(None, None)

    def rest(items: list[ex.Node]) -> list[ex.Node]:
        left = Counter(shared)
        kept = []
        for item in items:
            value = rational(item)
            if value is not None and left[value] > 0:
                left[value] -= 1
            else:
                kept.append(item)
        return kept

    return rest(first), rest(second)


def rational(node: ex.Node) -> Fraction | None:
    """The value of an expression of rational numbers that arithmetic gives; None for any other."""
    try:
        return exact(node)
    except (numeric.NotExact, Undefined, TooComplex):
        return None
