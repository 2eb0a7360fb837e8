"""Values with units, percentages, and decimals that are rounded."""

from collections.abc import Callable
from fractions import Fraction

from openrlhf.grading import expressions as ex
from openrlhf.grading.numeric import NotExact, TooComplex, Undefined, exact
from openrlhf.grading.policy import GradingPolicy
from openrlhf.grading.units import read_unit

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
        values = [quantity.value]
        if quantity.unit == "%":
            values = [ex.Product((quantity.value, _HUNDRED)), quantity.value]
        elif quantity.unit == "circ" and _has_pi(bare):
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
        if mine.unit == gold.unit:
            return self.same_values(mine.value, gold.value)
        first, second = read_unit(mine.unit), read_unit(gold.unit)
        if first.dimensions == second.dimensions:
            if first.scale == second.scale:
                return self.same_values(mine.value, gold.value)
            factor = ex.Number(first.scale / second.scale)
            return self.same_values(ex.Product((mine.value, factor)), gold.value)
        if not first.dimensions or not second.dimensions:
            return self.same_values(mine.value, gold.value)
        # Different measures are different; words that are no measures ("ways", "integers") may go either way.
        if self.policy.units == "strict" or (first.known and second.known):
            return False
        return self.same_values(mine.value, gold.value)

    def rounded(self, mine: ex.Node, gold: ex.Node) -> bool:
        """Whether the policy lets a decimal gold stand for `mine`."""
        if self.policy.decimals != "rounded":
            return False
        if self.rounds_to(mine, gold):
            return True
        try:
            value, expected = exact(mine), exact(gold)
        except (NotExact, TooComplex, Undefined):
            return False
        return abs(value - expected) <= abs(expected) * Fraction(self.policy.tolerance)

    def rounds_to(self, mine: ex.Node, gold: ex.Node) -> bool:
        """Whether `mine` rounds to a decimal `gold` at the gold's last digit."""
        from openrlhf.grading.identity import constant_value

        mine = mine.value if isinstance(mine, ex.Quantity) else mine
        gold = gold.value if isinstance(gold, ex.Quantity) else gold
        place = _last_place(gold)
        if place is None:
            return False
        try:
            distance = abs(constant_value(ex.difference(mine, gold)))
        except (Undefined, TooComplex, ZeroDivisionError):
            return False
        return bool(distance * 2 * place.denominator <= place.numerator)


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


def _has_pi(node: ex.Node) -> bool:
    return any(isinstance(part, ex.Constant) and part.name == "pi" for part in node.walk())


def _radians(degrees: ex.Node) -> ex.Node:
    return ex.Product((degrees, ex.Constant("pi"), ex.Number(Fraction(1, 180))))
