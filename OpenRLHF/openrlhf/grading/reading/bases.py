"""What an expression is built from: letters, brackets, sets, matrices, commands and functions."""

import re
from fractions import Fraction
from itertools import permutations

from openrlhf.grading.knowledge.words import number_from_words
from openrlhf.grading.reading import expressions as ex
from openrlhf.grading.reading.cursor import Cursor
from openrlhf.grading.reading.lexer import FUNCTIONS, Token, Unreadable, names
from openrlhf.grading.reading.vocabulary import BARS, NOT_FACTORS

_CONSTANTS = {"pi": "pi", "infty": "infinity", "emptyset": "empty", "varnothing": "empty", "oslash": "empty"}
_NUMBER_SETS = {"R": "R", "Z": "Z", "N": "N", "Q": "Q", "C": "C"}
_ACCENTS = names(
    "vec hat bar tilde dot ddot overline overrightarrow widehat widetilde mathbf boldsymbol bm mathcal "
    "mathbb mathit mathsf underline mathscr mathfrak textcircled"
)
_SAME_ACCENTS = {"overline": "bar", "widehat": "hat", "widetilde": "tilde", "overrightarrow": "vec"}
_STYLES = names("mathbf boldsymbol bm mathit mathsf underline pmb bold")
_FUNCTION_LETTERS = frozenset("fgFGhHPQuvwpqyTNCsSR")
_TRIGONOMETRIC = names("sin cos tan cot sec csc sinh cosh tanh coth sech csch")
_FENCES = {"langle": ("rangle", "<>"), "lfloor": ("rfloor", "floor"), "lceil": ("rceil", "ceil")}
_MATRICES = names("matrix pmatrix bmatrix Bmatrix vmatrix array smallmatrix cases aligned")
_HIGHEST_DERIVATIVE = 9
_BETWEEN_LETTERS = re.compile(r"(?<=[a-z]),(?=[a-z])")
_CLOSING = {"(": ")", "{": "}", "[": "]", "\\{": "\\}"}
_UNREADABLE = names("overset underset stackrel color textcolor int iint oint sum prod lim")


class Bases(Cursor):
    """The innermost layer: one base, without what follows it."""

    def base(self) -> ex.Node:
        token = self.take()
        if token.kind == "number":
            assert token.value is not None
            return ex.Number(token.value, token.decimals)
        if token.kind == "letter":
            return self.letter(token.text)
        if token.kind == "begin":
            return self.matrix(token.text)
        if token.kind == "mark":
            return self.bracketed(token.text)
        if token.kind == "command":
            return self.command(token.text)
        raise Unreadable(f"words inside of mathematics: {token.text!r}")

    def letter(self, name: str) -> ex.Node:
        if name in ("e", "i"):
            return ex.Constant(name)
        node: ex.Node = ex.Symbol(name)
        if self.text() == "_":
            node = self.subscripted(node)
            name = node.name if isinstance(node, ex.Symbol) else name
        while self.text() == "'":
            self.at += 1
            name += "'"
            node = ex.Symbol(name)
        inverse = [self.text(k) for k in (0, 1, 2, 4, 5)] == ["^", "{", "-", "}", "("]
        if name in _FUNCTION_LETTERS and inverse and self.found[self.at + 3].value == 1:
            # The inverse function f^{-1}(x).
            self.at += 5
            return self.applied(name + "^-1")
        opening = self.peek()
        if name[0] in _FUNCTION_LETTERS and self.text() == "(" and opening is not None and not opening.spaced:
            return self.applied(name)
        if self.text() == "(" and (name in ("A", "B", "C", "D", "M", "P", "Q") or self.defines()):
            return self.applied(name)
        if self.text() == "(" and self.text(2) == ")" and (value := self.peek(1)) is not None and value.value == 0:
            # The value of some function at zero; nobody writes a product with zero.
            return self.applied(name)
        return node

    def defines(self) -> bool:
        r"""Whether this bracket makes the letter before it a function: I(\lambda) = …, E(6, 4) = … at the start."""
        before = self.peek(-2)
        if before is not None and before.text not in (",", ";", "or", "and"):
            return False
        inside = self.bracket_content()
        kinds = {token.kind for token in inside if token.text != ","}
        # A letter times a number is no function, but nobody multiplies a letter with a pair.
        several = any(token.text == "," for token in inside)
        plain = kinds <= ({"letter", "command", "number"} if several else {"letter", "command"})
        return plain and bool(kinds) and self.text(len(inside) + 2) == "="

    def bracket_content(self) -> list[Token]:
        """The tokens of the bracket that opens here; none where it does not close."""
        depth = 0
        for end in range(self.at, len(self.found)):
            depth += {"(": 1, ")": -1}.get(self.found[end].text, 0)
            if not depth:
                return self.found[self.at + 1 : end]
        return []

    def applied(self, name: str) -> ex.Node:
        """f(…): an unknown function at its arguments; P(A | B) has two of another kind than P(A, B)."""
        given = name == "P" and sum(token.text in BARS for token in self.bracket_content()) == 1
        self.expect("(")
        saved, self.bars = self.bars, int(given)
        arguments, _ = self.items(frozenset(")") | (BARS if given else frozenset()))
        if given and self.accept(*BARS):
            name = "P|"
            arguments += self.items(frozenset(")"))[0]
        self.bars = saved
        self.expect(")")
        return ex.Call(name, tuple(arguments))

    def bracketed(self, mark: str) -> ex.Node:
        if mark == "{":
            node = self.listed(frozenset("}"))
            self.expect("}")
            return node
        if mark in ("(", "["):
            return self.tuple_or_group(mark)
        if mark == "\\{":
            return self.set_braces()
        if mark == "|":
            return self.absolute(("|",))
        raise Unreadable(f"unexpected {mark!r}")

    def tuple_or_group(self, opening: str) -> ex.Node:
        saved, self.bars = self.bars, 0
        items, joined = self.items(frozenset((")", "]")))
        self.bars = saved
        closing = self.text()
        if closing not in (")", "]"):
            raise Unreadable("a bracket that is not closed")
        self.at += 1
        if len(items) == 1:
            return items[0] if joined == "," else ex.Listed(tuple(items), joined)
        if joined in ("or", "and"):
            return ex.Listed(tuple(items), joined)
        return ex.Tuple(tuple(items), opening + closing)

    def set_braces(self) -> ex.Node:
        if self.accept("\\}"):
            return ex.Constant("empty")
        self.bars += 1
        items, _ = self.items(frozenset(("\\}", "|", "mid", ":", "vert")))
        self.bars -= 1
        if self.accept("|", "mid", ":", "vert", "colon"):
            conditions, joined = self.items(frozenset(("\\}",)))
            self.expect("\\}")
            if joined == "or":
                conditions = [ex.Listed(tuple(conditions), joined)]
            if len(items) != 1:
                raise Unreadable("a set of several elements with a condition")
            element = items[0]
            if isinstance(element, ex.Relation) and element.operators == ("in",):
                element, conditions = element.sides[0], [*conditions, element]
            return _set_builder(element, tuple(conditions))
        self.expect("\\}")
        return ex.SetOf(tuple(items))

    def absolute(self, closing: tuple[str, ...]) -> ex.Node:
        self.bars += 1
        node = self.item()
        self.bars -= 1
        if not self.accept(*closing):
            raise Unreadable("a bar that is not closed")
        return determinant(node) if isinstance(node, ex.Matrix) else ex.Call("abs", (node,))

    def subscripted(self, node: ex.Node) -> ex.Node:
        self.expect("_")
        # a_{i,j} is a_{ij}; a_{1,2} is not a_{12}.
        subscript = _BETWEEN_LETTERS.sub("", self.raw_argument())
        if isinstance(node, ex.Symbol):
            return ex.Symbol(f"{node.name}_{subscript}")
        if isinstance(node, ex.Constant) and node.name in ("e", "i"):
            return ex.Symbol(f"{node.name}_{subscript}")
        base = number_from_words(subscript) or (int(subscript) if subscript.isdigit() else None)
        if isinstance(node, ex.Number) and base is not None:
            return _in_base(node, int(base))
        raise Unreadable("a subscript where none can be")

    def raw_argument(self) -> str:
        """An argument as text, for names."""
        if not self.accept("{"):
            token = self.take()
            return token.text
        depth = 1
        parts: list[str] = []
        while depth:
            token = self.take()
            if token.kind == "mark" and token.text in "{}":
                depth += 1 if token.text == "{" else -1
                if not depth:
                    break
            parts.append(token.text)
        return "".join(parts)

    def command(self, name: str) -> ex.Node:
        if name in ("frac", "cfrac"):
            over, under = self.one_argument(), self.one_argument()
            return _derivative(over, under) or ex.Product((over, ex.reciprocal(under)))
        if name == "sqrt":
            return self.root()
        if name in ("binom", "tbinom"):
            return ex.Call("binomial", (self.one_argument(), self.one_argument()))
        if name in _CONSTANTS:
            return ex.Constant(_CONSTANTS[name])
        if name in ("mathbb", "mathbf", "bf", "Bbb") and (number_set := self.number_set()):
            return number_set
        if name in _STYLES and self.styles_number():
            return self.one_argument()
        if name in _ACCENTS:
            symbol = self.raw_argument()
            if symbol in ("P", "E") and self.text() == "(":
                return self.applied(symbol)
            # A bar over one letter is a bar, however long it is drawn.
            return ex.Symbol(f"{_SAME_ACCENTS.get(name, name) if len(symbol) == 1 else name}:{symbol}")
        if name == "Pr" and self.text() == "(":
            return self.applied("P")
        if name in FUNCTIONS:
            return self.function(name)
        if name in _FENCES:
            return self.fenced(name)
        if name in ("lvert", "vert", "mid"):
            return self.absolute(("rvert", "vert", "mid"))
        if name in ("boxed", "fbox", "mathop", "mathord", "mathrel", "ensuremath"):
            return self.one_argument()
        if name in ("ldots", "dots", "cdots"):
            return ex.Symbol("...")
        if name in _UNREADABLE:
            raise Unreadable(f"the construct \\{name}")
        if name in NOT_FACTORS or not name.isalpha():
            raise Unreadable(f"unexpected \\{name}")
        return self.greek(name)

    def greek(self, name: str) -> ex.Node:
        """Any other command without arguments is a symbol of that name."""
        node: ex.Node = ex.Symbol({"varphi": "phi", "varepsilon": "epsilon", "vartheta": "theta"}.get(name, name))
        while self.text() == "_":
            node = self.subscripted(node)
        return node

    def styles_number(self) -> bool:
        """Whether the argument of a typeface is a number, which it does not change."""
        first = self.peek(1) if self.text() == "{" else self.peek()
        return first is not None and (first.kind == "number" or first.text in ("-", "frac", "sqrt"))

    def number_set(self) -> ex.Node | None:
        argument = self.peek(1) if self.text() == "{" else self.peek()
        if argument is None or argument.text not in _NUMBER_SETS:
            return None
        self.raw_argument()
        return ex.Constant(_NUMBER_SETS[argument.text])

    def root(self) -> ex.Node:
        degree: ex.Node = ex.Number(Fraction(2))
        if self.accept("["):
            degree = self.item()
            self.expect("]")
        return ex.Call("root", (self.one_argument_or_call(), degree))

    def one_argument_or_call(self) -> ex.Node:
        """sqrt{2}, sqrt2 and the calculator's sqrt(2)."""
        return self.group("(", ")") if self.text() == "(" else self.one_argument()

    def fenced(self, name: str) -> ex.Node:
        closing, kind = _FENCES[name]
        saved, self.bars = self.bars, 0
        items, _ = self.items(frozenset((closing,)))
        self.bars = saved
        self.expect(closing)
        if kind == "<>":
            return ex.Tuple(tuple(items), "<>")
        if len(items) != 1:
            raise Unreadable("a list where one number was expected")
        return ex.Call(kind, (items[0],))

    def one_argument(self) -> ex.Node:
        """What TeX takes as an argument: a group, a command with its arguments, or one digit or letter."""
        token = self.peek()
        if token is None:
            raise Unreadable("an argument is missing")
        if token.text == "{" and token.kind == "mark":
            return self.group("{", "}")
        if token.kind == "number":
            return self.digit()
        self.descend()
        node = self.base()
        self.depth -= 1
        return node

    def digit(self) -> ex.Node:
        r"""The first digit of a number, leaving the rest: \frac12, \sqrt32; "x^10" is meant whole, though."""
        token = self.take()
        assert token.value is not None
        before = self.peek(-3) if (sign := self.peek(-2)) is not None and sign.text == "-" else sign
        if len(token.text) == 1 or not token.text.isdigit() or (before is not None and before.text == "^"):
            return ex.Number(token.value, token.decimals)
        rest = token.text[1:]
        self.at -= 1
        self.found[self.at] = Token("number", rest, False, Fraction(int(rest)))
        return ex.Number(Fraction(int(token.text[0])))

    def group(self, opening: str, closing: str) -> ex.Node:
        self.expect(opening)
        node = self.listed(frozenset((closing,)))
        self.expect(closing)
        return node

    def exponent(self) -> ex.Node:
        if self.accept("'"):
            return ex.Symbol("'")
        if self.accept("-"):
            return ex.negated(self.one_argument())
        return self.one_argument()

    def matrix(self, kind: str) -> ex.Node:
        if kind not in _MATRICES:
            raise Unreadable(f"the environment {kind}")
        system = kind in ("cases", "aligned")
        if kind == "array" and self.text() == "{":
            self.raw_argument()
        saved, self.bars = self.bars, 0
        rows: list[ex.Tuple] = []
        while self.peek() is not None and self.found[self.at].kind != "end":
            rows.append(self.matrix_row())
        self.bars = saved
        if self.peek() is None or not rows or len({len(row.items) for row in rows}) != 1:
            raise Unreadable("a matrix that is cut off or ragged")
        self.take()
        if system and all(len(row.items) == 1 for row in rows):
            return ex.Listed(tuple(row.items[0] for row in rows), "and")
        if kind == "cases" and all(len(row.items) == 2 for row in rows):
            return ex.Cases(tuple(rows))
        grid = ex.Matrix(tuple(rows))
        return determinant(grid) if kind == "vmatrix" else grid

    def matrix_row(self) -> ex.Tuple:
        cells = []
        while True:
            while self.accept("hline"):
                pass
            if (token := self.peek()) is not None and token.text in ("if", "for", "when", "where"):
                self.at += 1
                self.accept("&")
            cells.append(self.relation())
            if self.text() == "," and self.text(1) == "&":
                self.at += 1
            if self.accept("&"):
                continue
            self.accept(",", ";")
            if self.accept("\\"):
                while self.accept("hline"):
                    pass
            elif self.peek() is None or self.found[self.at].kind != "end":
                raise Unreadable("a matrix with a row that does not end")
            return ex.Tuple(tuple(cells), "()")

    def function(self, name: str) -> ex.Node:
        r"""\sin x, \sin^2 x, \sin(x), \log_2 x, \max(a, b)."""
        power: ex.Node | None = None
        subscript: ex.Node | None = None
        while self.text() in ("^", "_"):
            if self.accept("^"):
                power = self.exponent()
            else:
                self.at += 1
                subscript = self.one_argument()
        arguments = self.arguments(name)
        if subscript is not None:
            if name != "log":
                raise Unreadable(f"a subscript at {name}")
            arguments += (subscript,)
        if power == ex.MINUS_ONE and name in _TRIGONOMETRIC:
            return ex.Call("arc" + name, arguments)
        if name == "cis":
            turned = ex.Product((ex.Constant("i"), ex.Call("sin", arguments)))
            return ex.Sum((ex.Call("cos", arguments), turned))
        call = ex.Call(name, arguments)
        return call if power is None else ex.Power(call, power)

    def arguments(self, name: str) -> tuple[ex.Node, ...]:
        if self.text() in _CLOSING and not (self.text() == "[" and name in _TRIGONOMETRIC):
            closing = _CLOSING[self.take().text]
            saved, self.bars = self.bars, 0
            items, _ = self.items(frozenset((closing,)))
            self.bars = saved
            self.expect(closing)
            return tuple(items)
        self.descend()
        negative = self.accept("-")
        factors = [self.factor()]
        while self.starts_factor() and self.text() not in ("(", "[", "\\{"):
            # cos 2 sqrt{3} t is the cosine of it all; sin x sqrt{2} is not.
            if self.text() in FUNCTIONS and not (self.text() == "sqrt" and isinstance(factors[-1], ex.Number)):
                break
            if mixed := self.mixed_number(factors):
                factors[-1] = mixed
                continue
            factors.append(self.factor())
        self.depth -= 1
        argument = factors[0] if len(factors) == 1 else ex.Product(tuple(factors))
        return (ex.negated(argument) if negative else argument,)


def _set_builder(element: ex.Node, conditions: tuple[ex.Node, ...]) -> ex.Node:
    """{x | …}; {kπ | k ∈ Z} and {x | x = kπ, k ∈ Z} are the general solution that they describe."""
    first = conditions[0]
    if len(conditions) == 1 and isinstance(first, ex.SetBuilder) and first.element == element:
        return first
    if len(conditions) == 1 and isinstance(first, ex.Relation) and len(first.sides) == 2:
        left, right = first.sides
        if isinstance(right, ex.Progression) and left == element:
            return right if first.operators == ("=",) else first
        scalar = isinstance(element, (ex.Sum, ex.Product))
        if scalar and first.operators == ("in",) and right == ex.Constant("Z") and isinstance(left, ex.Symbol):
            return ex.Progression(element, left.name)
    return ex.SetBuilder(element, conditions)


def _derivative(over: ex.Node, under: ex.Node) -> ex.Node | None:
    """dy/dx, d²y/dx² as the name that it is: y/x, y/x/x."""
    parts = [node.factors if isinstance(node, ex.Product) else (node,) for node in (over, under)]
    if len(parts[1]) != 2 or parts[1][0] != ex.Symbol("d"):
        return None
    by, order = _power(parts[1][1])
    if not isinstance(by, ex.Symbol) or _power(parts[0][0]) != (ex.Symbol("d"), order) or order > _HIGHEST_DERIVATIVE:
        return None
    functions = [part.name for part in parts[0][1:] if isinstance(part, ex.Symbol)]
    return ex.Symbol("/".join((*functions, *[by.name] * order))) if len(functions) == len(parts[0]) - 1 else None


def _power(node: ex.Node) -> tuple[ex.Node, int]:
    """(base, exponent) of a positive whole power; anything else is its own first power."""
    if isinstance(node, ex.Power) and isinstance(node.exponent, ex.Number) and node.exponent.value > 0:
        return node.base, int(node.exponent.value)
    return node, 1


def _in_base(node: ex.Number, base: int) -> ex.Number:
    if not 2 <= base <= 36 or node.value.denominator != 1 or node.value < 0:
        raise Unreadable("a numeral that does not fit its base")
    try:
        return ex.Number(Fraction(int(str(node.value), base)))
    except ValueError:
        raise Unreadable("a numeral that does not fit its base") from None


def determinant(grid: ex.Matrix) -> ex.Node:
    """The determinant as an expression; up to four rows, since it has a term for each of their orders."""
    size = len(grid.rows)
    if size > 4 or any(len(row.items) != size for row in grid.rows):
        raise Unreadable("a determinant that is not square or too large")
    terms = []
    for order in permutations(range(size)):
        swaps = sum(order[i] > order[j] for i in range(size) for j in range(i + 1, size))
        product = ex.Product(tuple(grid.rows[row].items[column] for row, column in enumerate(order)))
        terms.append(ex.negated(product) if swaps % 2 else product)
    return ex.Sum(tuple(terms))
