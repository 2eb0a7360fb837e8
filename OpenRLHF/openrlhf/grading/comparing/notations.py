"""One notation for two answers that use different ones: y(x + 1) as a product, C(5, 2), 3 + 4j, y' and dy/dx."""

import re
from collections.abc import Mapping

from openrlhf.grading.comparing.numeric import is_unknown
from openrlhf.grading.comparing.rewriting import mapped, substituted
from openrlhf.grading.reading import expressions as ex

_AXIS = re.compile(
    r"(?:mathbf|vec|hat|bm|boldsymbol|textbf):(?:(?:mathbf|vec|bm|boldsymbol)\{?)?(i|j|k|imath|jmath)\}?"
)
_PLAIN_AXES = frozenset("jk")


def reconciled(mine: ex.Node, gold: ex.Node) -> tuple[ex.Node, ex.Node]:
    """Both answers, each in the notation of the other where only one of them uses it."""
    return _towards(mine, gold), _towards(gold, mine)


def _towards(node: ex.Node, other: ex.Node) -> ex.Node:
    applied, names = _applied(node) - _applied(other), ex.variables(other)
    if applied & (names | {"C"}):
        node = mapped(node, lambda part: _unapplied(part, applied & names))
    if names and any("'" in name for name in names) and not any("'" in name for name in ex.variables(node)):
        node = _with_primes(node)
    imaginary = ex.has_constant(other, "i") and not ex.has_constant(node, "i")
    if isinstance(node, ex.Sum) and ex.variables(node) == {"j"} and not names and imaginary:
        node = substituted(node, {"j": ex.Constant("i")})
    return node


def _applied(node: ex.Node) -> set[str]:
    return {part.name for part in node.walk() if isinstance(part, ex.Call) and is_unknown(part.name)}


def _unapplied(part: ex.Node, letters: set[str]) -> ex.Node:
    """y(x + 1) as a product where y is a variable; C(5, 2) as the number of choices."""
    if not isinstance(part, ex.Call):
        return part
    if part.name in letters and len(part.arguments) == 1:
        return ex.Product((ex.Symbol(part.name), part.arguments[0]))
    if part.name == "C" and len(part.arguments) == 2 and all(isinstance(a, ex.Number) for a in part.arguments):
        return ex.Call("binomial", part.arguments)
    return part


def _with_primes(node: ex.Node) -> ex.Node:
    """dy/dx as y', as long as every derivative is by the same variable."""
    derivatives = {name: name.split("/") for name in ex.variables(node) if "/" in name}
    if len({by for _, *bys in derivatives.values() for by in bys}) > 1:
        return node
    names: Mapping[str, ex.Node] = {
        name: ex.Symbol(function + "'" * len(bys)) for name, (function, *bys) in derivatives.items()
    }
    return substituted(node, names)


def has_axes(node: ex.Node) -> bool:
    r"""Whether an expression has \mathbf{i}, \hat{j}, … in it."""
    return any(isinstance(part, ex.Symbol) and _AXIS.fullmatch(part.name) for part in node.walk())


def components(node: ex.Node, size: int) -> ex.Tuple | None:
    """The vector a·i + b·j + c·k as a tuple of `size`; None for anything else. Plain letters i, j, k are axes too."""
    axes = {name: match[1][0] for name in ex.variables(node) if (match := _AXIS.fullmatch(name))}
    if not axes and ex.variables(node) and ex.variables(node) <= _PLAIN_AXES:
        node = mapped(node, lambda part: ex.Symbol("i") if part == ex.Constant("i") else part)
        axes = {name: name for name in ex.variables(node)}
    if not axes or size not in (2, 3) or (size == 2 and "k" in axes.values()):
        return None
    items = []
    for axis in "ijk"[:size]:
        items.append(substituted(node, {name: ex.ONE if axes[name] == axis else ex.ZERO for name in axes}))
    return ex.Tuple(tuple(items), "()")


def ranges_with_parameters(mine: ex.Node, gold: ex.Node) -> tuple[ex.Tuple, ex.Tuple] | None:
    """Two ranges whose ends hold variables, as intervals; None unless both are ranges and one is no interval yet."""
    if isinstance(mine, ex.Tuple) and isinstance(gold, ex.Tuple):
        return None
    first, second = _as_interval(mine), _as_interval(gold)
    return (first, second) if first is not None and second is not None and ex.variables(second) else None


def _as_interval(node: ex.Node) -> ex.Tuple | None:
    """a < x < b, or {x | a < x < b}, as (a, b)."""
    if isinstance(node, ex.SetBuilder) and len(node.conditions) == 1:
        chain = _as_interval(node.conditions[0])
        middle = node.conditions[0].sides[1] if isinstance(node.conditions[0], ex.Relation) and chain else None
        return chain if middle == node.element else None
    if not isinstance(node, ex.Relation) or len(node.sides) != 3 or not isinstance(node.sides[1], ex.Symbol):
        return node if isinstance(node, ex.Tuple) and len(node.items) == 2 else None
    if not set(node.operators) <= {"<", "<="}:
        return None
    brackets = "(["[node.operators[0] == "<="] + ")]"[node.operators[1] == "<="]
    return ex.Tuple((node.sides[0], node.sides[2]), brackets)
