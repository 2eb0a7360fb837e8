r"""General solutions: numbers that an integer parameter runs through, \frac{\pi}{4} + k\pi, 7k + 3, 3 (mod 7).

Two lists of such families are the same if they have the same members, whatever the parameter is called and wherever
it starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from typing import Any

from mpmath import mp

from openrlhf.grading.comparing.labels import value_of
from openrlhf.grading.comparing.numeric import GUARD, TooComplex, Undefined, close, enough_digits, evaluate, negligible
from openrlhf.grading.comparing.rewriting import mapped
from openrlhf.grading.reading import expressions as ex

_PARAMETERS = frozenset("knmjl")
_LARGEST_RATIO = 1_000
_MOST_MEMBERS = 400
_DIGITS = 50


@dataclass(frozen=True)
class Family:
    """offset + period·k for all integers k, times i where `imaginary`.

    declared: the parameter is said to be an integer. solves: it is what some variable x is.
    """

    offset: Any
    period: Any
    declared: bool
    solves: bool
    imaginary: bool


def same_families(mine: ex.Node, gold: ex.Node) -> bool | None:
    """Whether two answers run through the same numbers; None unless both are general solutions.

    Without "k in Z" on one side at least, only multiples of π are taken for periods, since 2n + 1 may be a term of a
    sequence; and nπ may be one where both sides are about the same n, unless they say that x = nπ.
    """
    if not (_may_run(mine) and _may_run(gold)):
        return None
    try:
        return enough_digits(lambda: _same_members(mine, gold), _DIGITS)
    except TooComplex:
        return None


def _same_members(mine: ex.Node, gold: ex.Node) -> bool | None:
    if (first := _families(mine)) is None or (second := _families(gold)) is None:
        return None
    everything = [*first, *second]
    if len({family.imaginary for family in everything}) > 1:
        return False
    if not any(family.declared for family in everything):
        as_written = ex.variables(mine) == ex.variables(gold) and len(first) == len(second)
        if not all(map(_turns, everything)) or (as_written and not any(family.solves for family in everything)):
            return None
    ratios = [_rational(family.period / everything[0].period) for family in everything]
    if None in ratios:
        return False
    shared = _common_multiple([abs(ratio) for ratio in ratios if ratio is not None])
    period = abs(everything[0].period) * shared.numerator / shared.denominator
    # Members are told apart by their place in a period, which the digits before the point take precision from.
    blur = max(1, *(abs(family.offset / period) for family in everything)) * mp.mpf(10) ** (GUARD - mp.dps)
    return _same_numbers(_members(first, period, blur), _members(second, period, blur), blur)


def without_declarations(mine: ex.Node, gold: ex.Node) -> tuple[ex.Node, ex.Node]:
    """Two general solutions as plain expressions, with one name for the parameter."""
    names = [part.parameter for part in gold.walk() if isinstance(part, ex.Progression)]
    return _plain(mine, names[0] if names else None), _plain(gold, None)


def _plain(node: ex.Node, name: str | None) -> ex.Node:
    parameters = [part.parameter for part in node.walk() if isinstance(part, ex.Progression)]
    renamed = {parameter: ex.Symbol(name) for parameter in parameters if name}

    def change(part: ex.Node) -> ex.Node:
        if isinstance(part, ex.Symbol):
            return renamed.get(part.name, part)
        return part.value if isinstance(part, ex.Progression) else part

    return mapped(node, change)


def _may_run(node: ex.Node) -> bool:
    """Whether a parameter is in sight at all, which is cheap to see."""
    return any(isinstance(part, (ex.Modulo, ex.Progression, ex.Symbol)) for part in node.walk())


def _families(node: ex.Node) -> list[Family] | None:
    items = node.items if isinstance(node, ex.Listed) else (node,)
    families = [_family(item) for item in items]
    return [family for family in families if family is not None] if None not in families else None


def _family(item: ex.Node) -> Family | None:
    node = value_of(item)
    label = item.sides[0] if isinstance(item, ex.Relation) else None
    solves = isinstance(label, ex.Symbol) and label.name[0].islower() and "_" not in label.name
    declared = isinstance(node, (ex.Modulo, ex.Progression))
    name = ""
    if isinstance(node, ex.Modulo):
        node = ex.Sum((node.value, ex.Product((node.modulus, ex.Symbol("k")))))
    elif isinstance(node, ex.Progression):
        name = node.parameter
        node = node.value
    names = ex.variables(node)
    if len(names) != 1 or not names <= ({name} if name else _PARAMETERS):
        return None
    try:
        zero, one, *others = (evaluate(node, dict.fromkeys(names, mp.mpf(k)), True) for k in (0, 1, 2, -3))
    except (Undefined, TooComplex, ZeroDivisionError):
        return None
    if imaginary := any(isinstance(value, mp.mpc) for value in (zero, one, *others)):
        if any(mp.re(value) != 0 for value in (zero, one, *others)):
            return None
        zero, one, *others = map(mp.im, (zero, one, *others))
    period = one - zero
    scale = max(abs(zero), abs(period))
    straight = all(negligible(zero + period * k - other, scale) for k, other in zip((2, -3), others, strict=True))
    return Family(zero, period, declared, solves, imaginary) if straight and period else None


def _turns(family: Family) -> bool:
    return _rational(family.period / mp.pi) is not None


def _rational(number: Any) -> Fraction | None:
    if isinstance(number, mp.mpc) or not mp.mpf(1) / _LARGEST_RATIO < abs(number) < _LARGEST_RATIO:
        return None
    nearest = Fraction(int(mp.nint(number * 2**80)), 2**80).limit_denominator(_LARGEST_RATIO)
    return nearest if close(number, mp.mpf(nearest.numerator) / nearest.denominator) else None


def _common_multiple(ratios: Sequence[Fraction]) -> Fraction:
    return Fraction(lcm(*(r.numerator for r in ratios)), gcd(*(r.denominator for r in ratios)))


def _members(families: list[Family], period: Any, blur: Any) -> list[Any]:
    """The members of all families from 0 up to `period`, as parts of it, in order."""
    members: list[Any] = []
    for family in families:
        count = int(mp.nint(abs(period / family.period)))
        if count > _MOST_MEMBERS:
            raise TooComplex
        for step in range(count):
            place = mp.frac((family.offset + step * family.period) / period)
            members.append(mp.mpf(0) if 1 - place < blur else place)
    members.sort()
    return [m for i, m in enumerate(members) if not i or m - members[i - 1] > blur]


def _same_numbers(first: list[Any], second: list[Any], blur: Any) -> bool:
    return len(first) == len(second) and all(abs(a - b) < blur for a, b in zip(first, second, strict=True))
