"""Rewrites of parsed answers that change how they are written and not what they mean."""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from itertools import permutations, product

from openrlhf.grading import expressions as ex
from openrlhf.grading.numeric import TooComplex

_MOST_SIGNS = 4
_SETS = (ex.Constant, ex.SetOf, ex.SetOperation, ex.SetBuilder)
_AXES = re.compile(r"(?:mathbf|vec|hat|bm|boldsymbol):(?:i|j|k|imath|jmath)")
_FREE_CONSTANT = re.compile(r"[cCkKABD](?:_\d+)?")
_BY_HABIT = re.compile(r"[cCkK](?:_\d+)?")
_MOST_CONSTANTS = 4


def mapped(node: ex.Node, change: Callable[[ex.Node], ex.Node]) -> ex.Node:
    """The node with `change` applied to every part, from the leaves up."""
    updates: dict[str, ex.Node | tuple[ex.Node, ...]] = {}
    for field in fields(node):
        value = getattr(node, field.name)
        if isinstance(value, ex.Node):
            updates[field.name] = mapped(value, change)
        elif isinstance(value, tuple) and value and isinstance(value[0], ex.Node):
            updates[field.name] = tuple(mapped(item, change) for item in value)
    return change(replace(node, **updates) if updates else node)


def lifted(node: ex.Node) -> ex.Node:
    """A product with one quantity or matrix in it is one itself: -(90°) is (-90)°."""
    if isinstance(node, ex.Product):
        factors = [lifted(factor) for factor in node.factors]
        matrices = [factor for factor in factors if isinstance(factor, ex.Matrix)]
        if len(matrices) == 1:
            scalars = tuple(factor for factor in factors if factor is not matrices[0])
            return _scaled(matrices[0], scalars)
        quantities = [factor for factor in factors if isinstance(factor, ex.Quantity)]
        if len(quantities) == 1:
            values = tuple(f.value if isinstance(f, ex.Quantity) else f for f in factors)
            return ex.Quantity(ex.Product(values), quantities[0].unit)
    if isinstance(node, ex.Sum) and len(node.terms) == 2 and isinstance(node.terms[0], _SETS):
        # R - {0}
        taken = node.terms[1]
        if isinstance(taken, ex.Product) and taken.factors[0] == ex.MINUS_ONE and len(taken.factors) == 2:
            return ex.SetOperation("setminus", node.terms[0], taken.factors[1])
    if isinstance(node, ex.Quantity) and isinstance(node.value, ex.Quantity):
        return ex.Quantity(node.value.value, f"{node.value.unit} {node.unit}")
    return node


def _scaled(grid: ex.Matrix, scalars: tuple[ex.Node, ...]) -> ex.Matrix:
    rows = (tuple(ex.Product((*scalars, item)) for item in row.items) for row in grid.rows)
    return ex.Matrix(tuple(ex.Tuple(row, "()") for row in rows))


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
    return _substituted(node, names)


def components(node: ex.Node, size: int) -> ex.Tuple | None:
    """The vector a·i + b·j + c·k as a tuple of `size`; None for anything else."""
    names = {part.name for part in node.walk() if isinstance(part, ex.Symbol)}
    if not names or size not in (2, 3) or not all(_AXES.fullmatch(name) for name in names):
        return None
    items = []
    for axis in "ijk"[:size]:
        values = {name: ex.ONE if name.split(":")[1][0] == axis else ex.ZERO for name in names}
        items.append(_substituted(node, values))
    return ex.Tuple(tuple(items), "()")


def _substituted(node: ex.Node, names: Mapping[str, ex.Node]) -> ex.Node:
    return mapped(node, lambda part: names.get(part.name, part) if isinstance(part, ex.Symbol) else part)


def matching_constants(mine: ex.Node, gold: ex.Node) -> list[tuple[ex.Node, ex.Node]]:
    """Both sides, in every way in which the free constants (C, c_1, A) that only one of them has can be matched."""
    mine_names = {part.name for part in mine.walk() if isinstance(part, ex.Symbol)}
    gold_names = {part.name for part in gold.walk() if isinstance(part, ex.Symbol)}
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
        (_substituted(mine, dict(zip(only_mine, map(ex.Symbol, order), strict=True))), gold)
        for order in permutations(only_gold)
    ]
