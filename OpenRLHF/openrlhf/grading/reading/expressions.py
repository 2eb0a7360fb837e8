"""The shapes an answer can have. Plain data; `parser` makes them, `numeric` evaluates, `compare` compares."""

from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Node:
    """Anything that an answer or a part of it can be."""

    # What `walk` found below: comparisons ask for it over and over.
    _below: "tuple[Node, ...]" = field(init=False, repr=False, compare=False)

    def children(self) -> "list[Node]":
        found: list[Node] = []
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, Node):
                found.append(value)
            elif type(value) is tuple:
                found += [item for item in value if isinstance(item, Node)]
        return found

    def walk(self) -> "tuple[Node, ...]":
        """This node and everything below it, from the left."""
        try:
            return (self, *self._below)
        except AttributeError:
            below, left = [], self.children()[::-1]
            while left:
                below.append(node := left.pop())
                if type(node) not in _LEAVES:
                    left += node.children()[::-1]
            object.__setattr__(self, "_below", tuple(below))
            return (self, *below)


@dataclass(frozen=True, slots=True)
class Number(Node):
    """A rational number; `decimals` counts the digits behind the point where it was written as a decimal."""

    value: Fraction
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """pi, e, i, infinity, or a number set: R, Z, N, Q, C, empty."""

    name: str


@dataclass(frozen=True, slots=True)
class Symbol(Node):
    """A variable, with its subscript and accents in the name."""

    name: str


@dataclass(frozen=True, slots=True)
class Sum(Node):
    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Product(Node):
    factors: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Power(Node):
    base: Node
    exponent: Node


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function at its arguments; a name that `numeric` does not know stands for an unknown function."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class PlusMinus(Node):
    """±term, or ∓term where `flipped`."""

    term: Node
    flipped: bool


@dataclass(frozen=True, slots=True)
class Modulo(Node):
    """A residue: value (mod modulus)."""

    value: Node
    modulus: Node


@dataclass(frozen=True, slots=True)
class Quantity(Node):
    """A value with the words or the unit behind it, as written."""

    value: Node
    unit: str


@dataclass(frozen=True, slots=True)
class Ratio(Node):
    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Tuple(Node):
    """Ordered items between brackets: a point, a vector, or an interval. `brackets` like "(]" or "<>"."""

    items: tuple[Node, ...]
    brackets: str


@dataclass(frozen=True, slots=True)
class SetOf(Node):
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class SetBuilder(Node):
    """{element | conditions}."""

    element: Node
    conditions: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class SetOperation(Node):
    """`operator` is one of cup, cap, setminus."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Progression(Node):
    """What `value` is for every integer `parameter`: a general solution."""

    value: Node
    parameter: str


@dataclass(frozen=True, slots=True)
class Cases(Node):
    """A function defined piece by piece: pairs of a value and its condition."""

    rows: tuple[Tuple, ...]


@dataclass(frozen=True, slots=True)
class Matrix(Node):
    rows: tuple[Tuple, ...]


@dataclass(frozen=True, slots=True)
class Relation(Node):
    """A chain of `sides` with one of = < > <= >= != ~ (about) in ("∈") between neighbours."""

    sides: tuple[Node, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listed(Node):
    """Items without brackets; `joined` is the word or mark between them: "," ";" "or" "and"."""

    items: tuple[Node, ...]
    joined: str


@dataclass(frozen=True, slots=True)
class Words(Node):
    """Text that is no mathematics, normalised."""

    text: str


_LEAVES = frozenset((Number, Constant, Symbol, Words))
ZERO = Number(Fraction(0))
ONE = Number(Fraction(1))
MINUS_ONE = Number(Fraction(-1))


def negated(node: Node) -> Node:
    if isinstance(node, Number):
        return Number(-node.value, node.decimals)
    return Product((MINUS_ONE, node))


def reciprocal(node: Node) -> Node:
    return Power(node, MINUS_ONE)


def difference(left: Node, right: Node) -> Node:
    return Sum((left, negated(right)))


def variables(node: Node) -> set[str]:
    """The names of the symbols in an expression."""
    return {part.name for part in node.walk() if isinstance(part, Symbol)}


def has(node: Node, kind: type[Node]) -> bool:
    """Whether a part of this kind is in an expression."""
    return any(isinstance(part, kind) for part in node.walk())


def has_constant(node: Node, name: str) -> bool:
    return any(isinstance(part, Constant) and part.name == name for part in node.walk())


def is_set(node: Node) -> bool:
    return isinstance(node, (SetOf, SetOperation, SetBuilder)) or (
        isinstance(node, Constant) and node.name in ("R", "Z", "N", "Q", "C", "empty")
    )


def factors(node: Node) -> tuple[Node, ...]:
    """The factors of nested products, one by one."""
    return tuple(f for part in node.factors for f in factors(part)) if isinstance(node, Product) else (node,)
