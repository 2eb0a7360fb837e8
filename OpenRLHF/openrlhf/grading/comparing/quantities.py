"""Values with units, percentages, and decimals that are rounded."""

from collections.abc import Callable
from fractions import Fraction

from openrlhf.grading.comparing.identity import constant_value
from openrlhf.grading.comparing.numeric import NotExact, TooComplex, Undefined, exact
from openrlhf.grading.knowledge.units import GENERAL, Unit, is_unit_word, is_upright_unit, opposed, read_unit
from openrlhf.grading.policy import GradingPolicy
from openrlhf.grading.reading import expressions as ex

_DEGREES = (("angle", 1),)
_RADIANS = (("radians", 1),)
# Pounds without a sign are of money or of mass.
_STERLING = ({"£", "pound"}, {"£", "pounds"})
_LONG_DECIMAL = 10
_FLOAT_DIGITS = 15
_PRINTED_DIGITS = 17
_HUNDRED = ex.Number(Fraction(1, 100))


class Quantities:
    """Compares quantities under a policy; `same` compares their bare values."""

    def __init__(self, policy: GradingPolicy, same: Callable[[ex.Node, ex.Node], bool]) -> None:
        self.policy = policy
        self.same_values = same

    def same(self, mine: ex.Node, gold: ex.Node) -> bool:
        """For two values of which at least one has a unit."""
        if isinstance(mine, ex.Quantity) and isinstance(gold, ex.Quantity):
            return self.both(mine, gold)
        quantity, bare = (mine, gold) if isinstance(mine, ex.Quantity) else (gold, mine)
        assert isinstance(quantity, ex.Quantity)
        if (measured := _with_letter_unit(bare)) is not None:
            sides = (quantity, measured) if quantity is mine else (measured, quantity)
            if self.both(*sides):
                return True
        values = [quantity.value]
        if quantity.unit == "%":
            values = [ex.Product((quantity.value, _HUNDRED))]
            # The sign may be too much only where the bare gold can be a number of hundredths itself.
            if bare is mine or not _is_fraction(gold):
                values.append(quantity.value)
        elif quantity.unit == "circ" and _is_angle(bare):
            values = [_radians(quantity.value)]
        if self.policy.units == "strict" and quantity.unit not in ("%", "circ"):
            return False
        return any(self.same_values(v, bare) if quantity is mine else self.same_values(bare, v) for v in values)

    def combined(self, node: ex.Node) -> ex.Node:
        """A sum of quantities of one kind ("2 hours 30 minutes") as one quantity; anything else as it is."""
        if not isinstance(node, ex.Sum) or not isinstance(node.terms[0], ex.Quantity):
            return node
        first = read_unit(node.terms[0].unit)
        values: list[ex.Node] = []
        for term in node.terms:
            if not isinstance(term, ex.Quantity):
                return node
            unit = read_unit(term.unit)
            if unit.dimensions != first.dimensions:
                return node
            values.append(ex.Product((term.value, ex.Number(unit.scale / first.scale))))
        return ex.Quantity(ex.Sum(tuple(values)), node.terms[0].unit)

    def both(self, mine: ex.Quantity, gold: ex.Quantity) -> bool:
        value = self.converted(mine, gold)
        return value is not None and self.same_values(value, gold.value)

    def converted(self, mine: ex.Quantity, gold: ex.Quantity) -> ex.Node | None:
        """The value of `mine` in the unit of `gold`; None where they measure different things."""
        if mine.unit == gold.unit:
            return mine.value
        if opposed(mine.unit, gold.unit):
            return None
        if {mine.unit, gold.unit} in _STERLING:
            return mine.value
        first, second = read_unit(mine.unit), read_unit(gold.unit)
        if first.dimensions == second.dimensions:
            factor = ex.Number(first.scale / second.scale)
            return mine.value if first.scale == second.scale else ex.Product((mine.value, factor))
        if (first.dimensions, second.dimensions) == (_DEGREES, _RADIANS):
            return _radians(mine.value)
        if (first.dimensions, second.dimensions) == (_RADIANS, _DEGREES):
            return ex.Product((mine.value, ex.reciprocal(_radians(ex.ONE))))
        if not first.dimensions or not second.dimensions or _same_power(first, second):
            return mine.value
        # Different measures are different; words that are no measures ("ways", "integers") may go either way.
        if self.policy.units == "strict" or (first.known and second.known):
            return None
        return mine.value

    def rounded(self, mine: ex.Node, gold: ex.Node) -> bool:
        """Whether the policy lets a decimal gold stand for `mine`."""
        if self.prints(mine, gold) or self.prints(gold, mine):
            return True
        if self.policy.decimals != "rounded":
            return False
        if self.rounds_to(mine, gold):
            return True
        try:
            value, expected = exact(mine), exact(gold)
        except (NotExact, TooComplex, Undefined):
            return False
        return abs(value - expected) <= abs(expected) * Fraction(self.policy.tolerance)

    def prints(self, decimal: ex.Node, value: ex.Node) -> bool:
        """Whether the policy takes a long decimal for what a computer prints for an exact value.

        It has to round to the decimal's last digit; of 16 or 17 digits, which floats are printed with, to the 15th.
        """
        if self.policy.long_decimals == "exact" or not isinstance(decimal, ex.Number) or not decimal.decimals:
            return False
        digits = len(str(abs(decimal.value * Fraction(10) ** decimal.decimals)))
        if digits < _LONG_DECIMAL or any(isinstance(p, ex.Number) and p.decimals is not None for p in value.walk()):
            return False
        try:
            if self.policy.long_decimals == "floats":
                if not _FLOAT_DIGITS <= digits <= _PRINTED_DIGITS:
                    return False
                distance = abs(decimal.value - exact(value))
            else:
                distance = abs(constant_value(ex.difference(decimal, value)))
        except (NotExact, Undefined, TooComplex, ZeroDivisionError):
            return False
        place = Fraction(10) ** (max(0, digits - _FLOAT_DIGITS if digits <= _PRINTED_DIGITS else 0) - decimal.decimals)
        return bool(distance * 2 * place.denominator <= place.numerator)

    def rounds_to(self, mine: ex.Node, gold: ex.Node) -> bool:
        """Whether `mine` rounds to a decimal `gold` at the gold's last digit."""
        value: ex.Node | None = mine.value if isinstance(mine, ex.Quantity) else mine
        if isinstance(mine, ex.Quantity) and isinstance(gold, ex.Quantity):
            value = self.converted(mine, gold)
        gold = gold.value if isinstance(gold, ex.Quantity) else gold
        place = _last_place(gold)
        if place is None or value is None:
            return False
        try:
            distance = abs(constant_value(ex.difference(value, gold)))
        except (Undefined, TooComplex, ZeroDivisionError):
            return False
        return bool(distance * 2 * place.denominator <= place.numerator)


def degrees_left_out(mine: ex.Node, gold: ex.Node) -> tuple[ex.Node, ex.Node]:
    """180° - 2α and 180 - 2α: without degree signs where one has them at terms and the other speaks of no angle."""

    def in_degrees(node: ex.Node) -> bool:
        return any(isinstance(part, ex.Quantity) and part.unit == "circ" for part in node.walk())

    def bare(term: ex.Node) -> ex.Node:
        return term.value if isinstance(term, ex.Quantity) else term

    for one, other in ((mine, gold), (gold, mine)):
        if not isinstance(one, ex.Sum) or not in_degrees(one) or in_degrees(other) or _is_angle(other):
            continue
        plain = ex.Sum(tuple(map(bare, one.terms)))
        return (plain, other) if one is mine else (other, plain)
    return mine, gold


def by_unit(mine: tuple[ex.Node, ...], gold: tuple[ex.Node, ...]) -> tuple[ex.Node, ...] | None:
    """The items of `mine` in the order of `gold`, whose units say what is what ("3 cats, 2 dogs"); None if they do not.

    Items of `mine` without a unit stay where they are.
    """
    expected = _kinds(gold)
    if len(expected) != len(gold) or len(gold) < 2 or len(mine) != len(gold):
        return None
    found = _kinds(mine)
    if len(found) != len(mine) or set(found) != set(expected):
        return mine
    return tuple(mine[found.index(kind)] for kind in expected)


def _kinds(items: tuple[ex.Node, ...]) -> list[tuple[tuple[str, int], ...]]:
    """What the items measure, as long as no two measure the same."""
    kinds = [read_unit(item.unit).dimensions for item in items if isinstance(item, ex.Quantity)]
    return kinds if len(set(kinds)) == len(kinds) else []


def _last_place(node: ex.Node) -> Fraction | None:
    """What one unit of a decimal's last digit is worth: 1/100 for 3.14, 10^7 for 2.88·10^9."""
    if isinstance(node, ex.Number):
        return None if node.decimals is None else Fraction(10) ** -node.decimals
    if isinstance(node, ex.Product):
        place = Fraction(1)
        decimals = 0
        for factor in node.factors:
            inner = _last_place(factor) if isinstance(factor, ex.Number) else None
            if inner is not None:
                place *= inner
                decimals += 1
                continue
            try:
                value = abs(exact(factor))
            except (NotExact, TooComplex, Undefined):
                return None
            place *= value
        return place if decimals == 1 else None
    return None


def _same_power(first: Unit, second: Unit) -> bool:
    """Whether one unit is of nothing in particular ("square units") and as high as the other."""
    if len(first.dimensions) != 1 or len(second.dimensions) != 1:
        return False
    (one, power), (other, other_power) = first.dimensions[0], second.dimensions[0]
    return GENERAL in (one, other) and power == other_power


def _with_letter_unit(node: ex.Node) -> ex.Quantity | None:
    """12 m, read as a product, as a quantity of metres; None where no letter behind a value names a unit."""
    if not isinstance(node, ex.Product):
        return None
    *values, last = node.factors
    base, power = (last.base, last.exponent) if isinstance(last, ex.Power) else (last, ex.ONE)
    if not isinstance(base, ex.Symbol) or not isinstance(power, ex.Number):
        return None
    if not is_unit_word(base.name) and not is_upright_unit(base.name):
        return None
    value = values[0] if len(values) == 1 else ex.Product(tuple(values))
    return ex.Quantity(value, base.name if power == ex.ONE else f"{base.name} ^ {power.value}")


def _is_fraction(node: ex.Node) -> bool:
    """Whether a number lies strictly between -1 and 1 and is not zero."""
    try:
        return 0 < abs(exact(node)) < 1
    except (NotExact, TooComplex, Undefined):
        return False


def _is_angle(node: ex.Node) -> bool:
    """Whether a bare value is one in radians: it has π or an inverse trigonometric function in it."""
    return any(
        part == ex.Constant("pi") or (isinstance(part, ex.Call) and part.name.startswith("arc")) for part in node.walk()
    )


def _radians(degrees: ex.Node) -> ex.Node:
    return ex.Product((degrees, ex.Constant("pi"), ex.Number(Fraction(1, 180))))
