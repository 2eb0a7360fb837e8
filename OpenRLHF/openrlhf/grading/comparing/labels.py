"""What stands left of "=": the name of a quantity, or a part of an equation that is still to be solved."""

from fractions import Fraction
from typing import NamedTuple

from openrlhf.grading.comparing.numeric import is_unknown
from openrlhf.grading.reading import expressions as ex

_INEQUALITIES = frozenset(("<", ">", "<=", ">=", "!=", "in", "notin"))
# Letters that ask to be solved for; |x| = 5 and x^2 + y^2 = 25 are equations, |z| = 5 and a^2 + b^2 = 25 name values.
_UNKNOWNS = frozenset("xytnkm")
# Functions whose value is asked for by their name: cos 2θ = 3/5.
_NAMING = frozenset(
    ("sin", "cos", "tan", "cot", "sec", "csc", "abs", "arg", "Re", "Im", "max", "min", "gcd", "lcm", "det")
)


def is_condition(node: ex.Node) -> bool:
    """Whether the answer is a condition on a variable rather than a value."""
    if isinstance(node, ex.Listed):
        return any(is_condition(item) for item in node.items)
    return isinstance(node, ex.Relation) and any(operator in _INEQUALITIES for operator in node.operators)


def _is_label(node: ex.Node) -> bool:
    """What may stand left of "=" as the name of a value."""
    if isinstance(node, (ex.Symbol, ex.Words)):
        return True
    if isinstance(node, ex.Call) and is_unknown(node.name):
        return all(isinstance(part, (ex.Symbol, ex.Number)) for part in node.arguments)
    if isinstance(node, (ex.Tuple, ex.Product, ex.SetOperation)):
        return all(isinstance(part, ex.Symbol) for part in node.children())
    return False


def _names_value(node: ex.Node, value: ex.Node) -> bool:
    """What may stand left of "=" as the name of a value without variables: m + n, P(X > 3), |z|, cos 2θ, AB : BC."""
    if isinstance(node, ex.Ratio):
        return all(map(_is_label, node.terms))
    if isinstance(node, ex.Power) and isinstance(value, ex.Matrix):
        return _is_label(node.base)
    squared = isinstance(node, ex.Power) and isinstance(node.exponent, ex.Number) and _is_naming_call(node.base)
    return squared or _is_naming_call(node) or _is_combined(node, value)


def _is_naming_call(node: ex.Node) -> bool:
    if not isinstance(node, ex.Call):
        return False
    return is_unknown(node.name) or (node.name in _NAMING and not ex.variables(node) & _UNKNOWNS)


def _is_combined(node: ex.Node, value: ex.Node) -> bool:
    r"""m + n, abc, p - q, \frac{AB}{CD}, a^2 + b^2: a combination that the question asked for by this name.

    Powers have to be of one degree, of no letter that is solved for, and not to come to zero: a^2 + b = 0 is an
    equation, and so is x^2 + y^2 = 25.
    """
    symbols: set[str] = set()
    degrees = set()
    plain = True
    for term in node.terms if isinstance(node, ex.Sum) else (node,):
        degree = Fraction(0)
        for factor in ex.factors(term):
            base, exponent = (factor.base, factor.exponent) if isinstance(factor, ex.Power) else (factor, ex.ONE)
            if factor == ex.MINUS_ONE:
                continue
            if not isinstance(exponent, ex.Number) or not all(isinstance(part, ex.Symbol) for part in ex.factors(base)):
                return False
            symbols |= ex.variables(base)
            degree += exponent.value * len(ex.factors(base))
            plain = plain and exponent == ex.ONE
        degrees.add(degree)
    if plain:
        return len(symbols) > 1
    return len(symbols) > 1 and len(degrees) == 1 and not symbols & _UNKNOWNS and value != ex.ZERO


def results(relation: ex.Relation) -> list[ex.Node]:
    """The values that an equation may stand for when it is compared with a value: x = 5, 5 = x, 2 + 3 = 5."""
    first, last = relation.sides[0], relation.sides[-1]
    if is_condition(relation) and relation.operators != ("in",):
        return []
    if _is_label(first) and (isinstance(first, ex.Call) or not ex.variables(first) & ex.variables(last)):
        values = [last]
    elif isinstance(last, ex.Symbol) and not ex.variables(last) & ex.variables(first):
        return [first]
    elif (
        not any(map(ex.variables, relation.sides))
        or (_names_value(first, last) and not ex.variables(last))
        or _is_worked_out(relation)
    ):
        values = [last]
    else:
        return []
    if relation.operators[-1] == "~" and not _is_label(relation.sides[-2]):
        # 1/3 ≈ 0.333 names an exact value and shows what it comes to.
        values.append(relation.sides[-2])
    return values


def _is_worked_out(relation: ex.Relation) -> bool:
    """2x + 3 = 2(3) + 3 = 9."""
    sides = relation.sides
    return set(relation.operators) == {"="} and len(sides) > 2 and not any(map(ex.variables, sides[-2:]))


def value_of(item: ex.Node) -> ex.Node:
    """The value behind a label: 5 of x = 5."""
    if isinstance(item, ex.Relation) and (values := results(item)):
        return values[0]
    return item


def labels_spread(items: tuple[ex.Node, ...]) -> tuple[ex.Node, ...]:
    """x = 1, 2 means x = 1, x = 2; labels that all items share say nothing and go."""
    labels = {item.sides[0] for item in items if isinstance(item, ex.Relation) and results(item)}
    unlabelled = sum(not isinstance(item, ex.Relation) for item in items)
    if len(labels) == 1 and (unlabelled == len(items) - 1 or unlabelled == 0):
        return tuple(value_of(item) for item in items)
    return items


def labels_agree(mine: tuple[ex.Node, ...], gold: tuple[ex.Node, ...]) -> bool:
    """Whether two lists are about the same variables (x_1 and x_2 are about x); one without names is about any."""
    mine_names, gold_names = _label_names(mine), _label_names(gold)
    return not mine_names or not gold_names or mine_names == gold_names


def _label_names(items: tuple[ex.Node, ...]) -> set[str]:
    labels = [item.sides[0] for item in items if isinstance(item, ex.Relation) and results(item)]
    return {label.name.split("_")[0] for label in labels if isinstance(label, ex.Symbol)} - {"?"}


def points(node: ex.Listed, other: ex.Listed) -> ex.Listed:
    """x = 1, y = 2; x = 2, y = 1 as (1, 2), (2, 1) where the other side lists tuples; anything else as it is."""
    size = len(other.items[0].items) if isinstance(other.items[0], ex.Tuple) else 0
    names = [item.sides[0] for item in node.items if isinstance(item, ex.Relation) and results(item)]
    if size < 2 or len(names) != len(node.items) != size or len(names) % size or len(set(names)) != size:
        return node
    if names != names[:size] * (len(names) // size):
        return node
    values = [value_of(item) for item in node.items]
    tuples = (ex.Tuple(tuple(values[at : at + size]), "()") for at in range(0, len(values), size))
    return ex.Listed(tuple(tuples), node.joined)


class Parameter(NamedTuple):
    """A value, the constant in it that a condition is put on, and that condition."""

    value: ex.Node
    name: str
    condition: ex.Node

    def counts_up(self) -> bool:
        """Whether the constant is an exponent that is said to be no less than zero."""
        from_zero = ex.Relation((ex.Symbol(self.name), ex.ZERO), (">=",))
        powers = [part.exponent for part in self.value.walk() if isinstance(part, ex.Power)]
        return self.condition == from_zero and ex.Symbol(self.name) in powers


def parameter(node: ex.Node) -> Parameter | None:
    """f(x) = cx, c > 0: a value and a condition on a constant in it; None for anything else."""
    if not isinstance(node, ex.Listed) or len(node.items) != 2 or node.joined == "or":
        return None
    value, condition = node.items
    names = ex.variables(condition)
    if is_condition(value) or not is_condition(condition) or len(names) != 1:
        return None
    name = names.pop()
    inside = value.sides[-1] if isinstance(value, ex.Relation) else value
    argument = isinstance(value, ex.Relation) and name in ex.variables(value.sides[0])
    return Parameter(value, name, condition) if name in ex.variables(inside) and not argument else None


def assignments(node: ex.Node) -> dict[str, ex.Node] | None:
    """What x = 3, y = -1, [x = 3, y = -1] and (x, y) = (3, -1) give to their variables; None for anything else."""
    if isinstance(node, ex.Relation) and node.operators == ("=",):
        names, values = node.sides
        if not isinstance(names, ex.Tuple) or not isinstance(values, ex.Tuple) or len(names.items) != len(values.items):
            return None
        pairs = list(zip(names.items, values.items, strict=True))
    elif isinstance(node, (ex.Listed, ex.Tuple)) and getattr(node, "joined", ",") != "or":
        relations = [item for item in node.items if isinstance(item, ex.Relation) and item.operators == ("=",)]
        if len(relations) < len(node.items):
            return None
        pairs = [(relation.sides[0], relation.sides[1]) for relation in relations]
    else:
        return None
    found = {name.name: value for name, value in pairs if isinstance(name, ex.Symbol)}
    return found if len(found) == len(pairs) > 1 else None


def as_point(found: dict[str, ex.Node]) -> ex.Tuple | None:
    """y = -1, x = 3 as (3, -1); None for other names, which have no order."""
    names = "xyz"[: len(found)]
    return ex.Tuple(tuple(found[name] for name in names), "()") if set(found) == set(names) else None


def distinct_labels(items: tuple[ex.Node, ...]) -> bool:
    labels = [item.sides[0] for item in items if isinstance(item, ex.Relation) and results(item)]
    names = {label.name.split("_")[0] for label in labels if isinstance(label, ex.Symbol)}
    names |= {label.text for label in labels if isinstance(label, ex.Words)}
    return len(names) == len(items) > 1


def variables_agree(mine: ex.Node, gold: ex.Node) -> bool:
    """Two conditions have to be about the same variables; a set or an interval names none."""
    mine_names, gold_names = ex.variables(mine) - {"?"}, ex.variables(gold) - {"?"}
    return not mine_names or not gold_names or mine_names == gold_names
