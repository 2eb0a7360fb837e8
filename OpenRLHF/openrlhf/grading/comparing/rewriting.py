"""Rewrites of parsed answers that change how they are written and not what they mean."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import permutations, product
from typing import Any, TypeGuard

from openrlhf.grading.comparing.numeric import TooComplex
from openrlhf.grading.reading import expressions as ex

_MOST_SIGNS = 4
_DOTS = ex.Symbol("...")
_TRANSPOSED = (ex.Symbol("T"), ex.Symbol("top"), ex.Symbol("intercal"))
_VECTORS = ("()", "<>")
_FREE_CONSTANT = re.compile(r"[cCkKABD](?:_\d+)?")
_BY_HABIT = re.compile(r"[cCkK](?:_\d+)?")
_NUMBERED = re.compile(r"[cC]_\d")
_MOST_CONSTANTS = 4


def mapped(node: ex.Node, change: Callable[[ex.Node], ex.Node]) -> ex.Node:
    """The node with `change` applied to every part, from the leaves up."""
    updates: dict[str, Any] = {}
    for name in node.__slots__:
        value = getattr(node, name)
        if isinstance(value, ex.Node):
            updates[name] = mapped(value, change)
        elif isinstance(value, tuple) and value and isinstance(value[0], ex.Node):
            updates[name] = tuple(mapped(item, change) for item in value)
    return change(replace(node, **updates) if updates else node)


def lifted(node: ex.Node) -> ex.Node:
    """A product with one quantity or matrix in it is one itself: -(90°) is (-90)°."""
    if isinstance(node, ex.Product):
        factors = [lifted(factor) for factor in node.factors]
        arrays = [factor for factor in factors if _is_array(factor)]
        if len(arrays) == 1:
            scalars = tuple(factor for factor in factors if factor is not arrays[0])
            return _scaled(arrays[0], scalars)
        quantities = [factor for factor in factors if isinstance(factor, ex.Quantity)]
        if len(quantities) == 1:
            values = tuple(f.value if isinstance(f, ex.Quantity) else f for f in factors)
            return ex.Quantity(ex.Product(values), quantities[0].unit)
    if isinstance(node, ex.Sum) and (total := _added([lifted(term) for term in node.terms])) is not None:
        return total
    if isinstance(node, ex.Sum) and len(node.terms) == 2 and ex.is_set(node.terms[0]):
        # R - {0}
        taken = node.terms[1]
        if isinstance(taken, ex.Product) and taken.factors[0] == ex.MINUS_ONE and len(taken.factors) == 2:
            return ex.SetOperation("setminus", node.terms[0], taken.factors[1])
    if isinstance(node, ex.Power) and node.exponent in _TRANSPOSED:
        return _transposed(node.base) or node
    if isinstance(node, (ex.Listed, ex.SetOf)) and _DOTS in node.items:
        return _with_ranges(node)
    if isinstance(node, ex.Quantity) and isinstance(node.value, ex.Quantity):
        return ex.Quantity(node.value.value, f"{node.value.unit} {node.unit}")
    return node


def _with_ranges(node: ex.Listed | ex.SetOf) -> ex.Node:
    """1, 2, 3, …, 9 as one item, whatever is written out of it; anything else with dots as it is."""
    place = node.items.index(_DOTS)
    shown, end = node.items[:place], node.items[place + 1 : place + 2]
    numbers = [item.value for item in (*shown, *end) if isinstance(item, ex.Number)]
    if len(numbers) < len(shown) + len(end) or len(shown) < 2 or len(node.items) > place + 2:
        return node
    step = numbers[1] - numbers[0]
    steps = [(number - numbers[0]) / step if step else Fraction(0) for number in numbers]
    if steps[: len(shown)] != list(range(len(shown))) or steps[-1] < len(shown) - 1 or steps[-1].denominator > 1:
        return node
    ends = map(ex.Number, (numbers[0], step, *numbers[len(shown) :]))
    item = ex.Call("range", tuple(ends))
    return ex.SetOf((item,)) if isinstance(node, ex.SetOf) else item


def _transposed(node: ex.Node) -> ex.Node | None:
    if isinstance(node, ex.Tuple):
        return ex.Matrix(tuple(ex.Tuple((item,), "()") for item in node.items))
    if not isinstance(node, ex.Matrix) or len({len(row.items) for row in node.rows}) > 1:
        return None
    columns = zip(*(row.items for row in node.rows), strict=True)
    return ex.Matrix(tuple(ex.Tuple(column, "()") for column in columns))


def _is_array(node: ex.Node) -> TypeGuard[ex.Matrix | ex.Tuple]:
    """Whether a node can be added and multiplied element by element: a matrix or a vector, but no interval."""
    return isinstance(node, ex.Matrix) or (isinstance(node, ex.Tuple) and node.brackets in _VECTORS)


def _scaled(array: ex.Matrix | ex.Tuple, scalars: tuple[ex.Node, ...]) -> ex.Matrix | ex.Tuple:
    if isinstance(array, ex.Matrix):
        return ex.Matrix(tuple(_scaled_row(row, scalars) for row in array.rows))
    return _scaled_row(array, scalars)


def _scaled_row(row: ex.Tuple, scalars: tuple[ex.Node, ...]) -> ex.Tuple:
    return ex.Tuple(tuple(ex.Product((*scalars, item)) for item in row.items), row.brackets)


def _added(terms: list[ex.Node]) -> ex.Node | None:
    """The sum of matrices or of vectors of one shape; None for other terms."""
    first = terms[0]
    if isinstance(first, ex.Matrix):
        grids = [term.rows for term in terms if isinstance(term, ex.Matrix) and len(term.rows) == len(first.rows)]
        if len(grids) < len(terms):
            return None
        rows = [row for same in zip(*grids, strict=True) if (row := _added_vectors(list(same))) is not None]
        return ex.Matrix(tuple(rows)) if len(rows) == len(first.rows) else None
    vectors = [term for term in terms if isinstance(term, ex.Tuple) and term.brackets in _VECTORS]
    return _added_vectors(vectors) if len(vectors) == len(terms) else None


def _added_vectors(vectors: list[ex.Tuple]) -> ex.Tuple | None:
    if len({len(vector.items) for vector in vectors}) > 1:
        return None
    items = zip(*(vector.items for vector in vectors), strict=True)
    return ex.Tuple(tuple(ex.Sum(terms) for terms in items), vectors[0].brackets)


def expanded(node: ex.Node, independent: bool) -> ex.Node:
    """A list of all that ± stands for, or the node itself where there is none.

    independent: several ± in one item take their signs one by one (∓ then is another ±), instead of together.
    """
    if isinstance(node, ex.Listed):
        items: list[ex.Node] = []
        any_signs = False
        for item in node.items:
            variants = _signed_variants(item, independent)
            any_signs = any_signs or len(variants) > 1
            items.extend(variants)
        return ex.Listed(tuple(items), "or" if any_signs and node.joined == "," else node.joined)
    if isinstance(node, ex.Relation) and isinstance(node.sides[-1], ex.SetOf):
        return ex.Relation((*node.sides[:-1], expanded(node.sides[-1], independent)), node.operators)
    if isinstance(node, ex.SetOf):
        return ex.SetOf(tuple(variant for item in node.items for variant in _signed_variants(item, independent)))
    variants = _signed_variants(node, independent)
    return node if len(variants) == 1 else ex.Listed(tuple(variants), "or")


def _signed_variants(node: ex.Node, independent: bool) -> list[ex.Node]:
    count = sum(isinstance(part, ex.PlusMinus) for part in node.walk())
    if not count:
        return [node]
    if count > _MOST_SIGNS:
        raise TooComplex
    flips = any(isinstance(part, ex.PlusMinus) and part.flipped for part in node.walk())
    if independent and not flips:
        choices = list(product((True, False), repeat=count))
    else:
        choices = [(True,) * count, (False,) * count]
    return [_with_signs(node, choice) for choice in choices]


def _with_signs(node: ex.Node, choice: tuple[bool, ...]) -> ex.Node:
    signs = iter(choice)

    def change(part: ex.Node) -> ex.Node:
        if not isinstance(part, ex.PlusMinus):
            return part
        return part.term if next(signs) != part.flipped else ex.negated(part.term)

    return mapped(node, change)


def renamed(node: ex.Node, old: tuple[ex.Node, ...], new: tuple[ex.Node, ...]) -> ex.Node:
    """The right side of f(x) = … written for the argument names of another definition."""
    names = {a.name: b for a, b in zip(old, new, strict=True) if isinstance(a, ex.Symbol)}
    return substituted(node, names)


def substituted(node: ex.Node, names: Mapping[str, ex.Node]) -> ex.Node:
    """The node with other expressions for the symbols of these names, and with other letters under their accents."""

    def change(part: ex.Node) -> ex.Node:
        if not isinstance(part, ex.Symbol) or part.name in names:
            return names[part.name] if isinstance(part, ex.Symbol) else part
        accent, accented, letter = part.name.partition(":")
        new = names.get(letter) if accented else None
        return ex.Symbol(f"{accent}:{new.name}") if isinstance(new, ex.Symbol) else part

    return mapped(node, change)


def matching_constants(mine: ex.Node, gold: ex.Node) -> list[tuple[ex.Node, ex.Node]]:
    """Both sides, in every way in which the free constants (C, c_1, A) that only one of them has can be matched."""
    mine_names, gold_names = ex.variables(mine), ex.variables(gold)
    only_mine = sorted(mine_names - gold_names)
    only_gold = sorted(gold_names - mine_names)
    if not only_mine or len(only_mine) != len(only_gold):
        return [(mine, gold)]
    shared = mine_names & gold_names
    if not shared or not all(map(_FREE_CONSTANT.fullmatch, (*only_mine, *only_gold))):
        return [(mine, gold)]
    # c_1 on both sides means that the names were taken over, and c_3 for c_2 is a slip. One letter alone may be
    # anything; only c and k are constants by habit.
    one_letter = len(only_mine) == 1 and not all(map(_BY_HABIT.fullmatch, (*only_mine, *only_gold)))
    if one_letter or any(map(_FREE_CONSTANT.fullmatch, shared)):
        return [(mine, gold)]
    if len(only_mine) > _MOST_CONSTANTS:
        raise TooComplex
    return [
        (substituted(mine, dict(zip(only_mine, map(ex.Symbol, order), strict=True))), gold)
        for order in permutations(only_gold)
    ]


def exchanged_constants(mine: ex.Node, gold: ex.Node) -> list[ex.Node]:
    """`mine` with its constants of integration (C_1, C_2) under each other's names, where both sides have the same."""
    names = sorted(name for name in ex.variables(mine) if _NUMBERED.fullmatch(name))
    if not 1 < len(names) <= _MOST_CONSTANTS or names != sorted(filter(_NUMBERED.fullmatch, ex.variables(gold))):
        return []
    orders = list(permutations(names))[1:]
    return [substituted(mine, dict(zip(names, map(ex.Symbol, order), strict=True))) for order in orders]


def without_additive_constant(node: ex.Node) -> ex.Node | None:
    """An antiderivative without its "+ C"; None where there is none, or where C stands elsewhere too."""
    if not isinstance(node, ex.Sum):
        return None
    rest = tuple(term for term in node.terms if term not in (ex.Symbol("C"), ex.Symbol("c")))
    if len(rest) != len(node.terms) - 1 or not rest or {"C", "c"} & ex.variables(ex.Sum(rest)):
        return None
    return ex.Sum(rest)


def cleared(node: ex.Node) -> ex.Node:
    """A sum multiplied by the denominators with variables that its terms have."""
    bases = []
    for term in node.terms if isinstance(node, ex.Sum) else (node,):
        for factor in ex.factors(term):
            if isinstance(factor, ex.Power) and factor.exponent == ex.MINUS_ONE and ex.variables(factor.base):
                bases.append(factor.base)
    return ex.Product((node, *dict.fromkeys(bases)))
