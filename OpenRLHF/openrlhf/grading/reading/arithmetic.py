"""Sums, products, powers: what stands between the bases of an expression."""

from fractions import Fraction

from openrlhf.grading.reading import expressions as ex
from openrlhf.grading.reading.bases import Bases
from openrlhf.grading.reading.lexer import Unreadable
from openrlhf.grading.reading.vocabulary import BARS, NOT_FACTORS, OVER, TIMES

_TEMPERATURES = {"F": "fahrenheit", "C": "celsius"}


class Arithmetic(Bases):
    """Signs and factors, with implicit multiplication and mixed numbers."""

    def sum(self) -> ex.Node:
        terms = [self.signed_term()]
        while self.text() in ("+", "-", "pm", "mp"):
            terms.append(self.signed_term())
        return terms[0] if len(terms) == 1 else ex.Sum(tuple(terms))

    def signed_term(self) -> ex.Node:
        sign = self.text()
        if sign not in ("+", "-", "pm", "mp"):
            return self.term()
        self.at += 1
        if self.text() in ("+", "-", "pm", "mp"):
            self.descend()
            term = self.signed_term()
            self.depth -= 1
        else:
            term = self.term()
        if sign == "+":
            return term
        if sign == "-":
            return ex.negated(term)
        return ex.PlusMinus(term, sign == "mp")

    def term(self) -> ex.Node:
        factors = [self.factor()]
        while True:
            text = self.text()
            if text in TIMES:
                self.at += 1
                factors.append(self.signed_factor())
            elif text in OVER:
                self.at += 1
                under = self.signed_factor()
                if isinstance(under, ex.Quantity) and under.unit in ("%", "circ"):
                    # 1/4 % is a quarter of one per cent.
                    value = ex.Product((*factors, ex.reciprocal(under.value)))
                    factors = [ex.Quantity(value, under.unit)]
                    continue
                factors.append(ex.reciprocal(under))
            elif self.starts_factor():
                if mixed := self.mixed_number(factors):
                    factors[-1] = self.postfixed(mixed)
                    continue
                factors.append(self.factor())
            else:
                return factors[0] if len(factors) == 1 else ex.Product(tuple(factors))

    def signed_factor(self) -> ex.Node:
        if self.accept("-"):
            return ex.negated(self.factor())
        self.accept("+")
        return self.factor()

    def mixed_number(self, factors: list[ex.Node]) -> ex.Node | None:
        r"""An integer directly before a proper fraction: 2\frac{1}{2}, 2 1/2."""
        whole = factors[-1]
        before = self.peek(-1)
        if not isinstance(whole, ex.Number) or before is None or before.kind != "number":
            return None
        if whole.value.denominator != 1 or whole.decimals is not None:
            return None
        start = self.at
        token = self.peek()
        assert token is not None
        if token.text == "frac" and token.kind == "command":
            fraction = self.base()
            value = _proper(fraction)
            if value is not None and (self.text() != "^" or self.at_degrees()):
                return ex.Number(whole.value + value)
        elif token.kind == "number" and token.value is not None and self.text(1) == "/":
            denominator = self.peek(2)
            if denominator is not None and denominator.kind == "number" and denominator.value:
                value = token.value / denominator.value
                if token.decimals is None and denominator.decimals is None and 0 < value < 1:
                    self.at += 3
                    return ex.Number(whole.value + value)
        self.at = start
        return None

    def starts_factor(self) -> bool:
        token = self.peek()
        if token is None:
            return False
        if token.kind == "number":
            before = self.peek(-1)
            if before is not None and before.kind == "number":
                return self.text(1) == "/"
            return True
        if token.kind == "letter":
            return True
        if token.kind == "mark":
            if token.text == "(" and self.text(1) == "mod":
                return False
            if token.text == "(" and (following := self.peek(1)) is not None and following.kind == "text":
                return False
            return token.text in ("(", "{", "[", "\\{") or (token.text == "|" and not self.bars)
        if token.kind == "command":
            closes = token.text in BARS and self.bars
            return token.text.isalpha() and token.text not in NOT_FACTORS and not closes
        return token.kind == "begin"

    def factor(self) -> ex.Node:
        return self.postfixed(self.base())

    def postfixed(self, node: ex.Node) -> ex.Node:
        """What follows a base: powers, factorials, primes, subscripts, percent and degree signs."""
        while True:
            text = self.text()
            if text == "^" and self.degrees():
                return ex.Quantity(node, self.temperature())
            if text == "^":
                self.at += 1
                node = ex.Power(node, self.exponent())
            elif text == "!":
                self.at += 1
                twice = self.text() == "!" and self.text(1) != "!" and self.accept("!")
                node = ex.Call("factorial2" if twice else "factorial", (node,))
            elif text == "'":
                primes = 0
                while self.accept("'"):
                    primes += 1
                node = _renamed(node, "'" * primes)
            elif text == "_":
                node = self.subscripted(node)
            elif text == "%":
                self.at += 1
                return ex.Quantity(node, "%")
            elif text == "circ":
                self.at += 1
                return ex.Quantity(node, self.temperature())
            else:
                return node

    def at_degrees(self) -> bool:
        r"""Whether `^\circ` or `^{\circ}` follows."""
        return self.text(1) == "circ" or [self.text(k) for k in (1, 2, 3)] == ["{", "circ", "}"]

    def degrees(self) -> bool:
        r"""Accepts `^\circ` and `^{\circ}`."""
        if not self.at_degrees():
            return False
        self.at += 2 if self.text(1) == "circ" else 4
        return True

    def temperature(self) -> str:
        """The unit after a degree sign: an angle, unless F or C follows."""
        token = self.peek()
        scale = _TEMPERATURES.get(token.text) if token is not None and token.kind in ("letter", "text") else None
        self.at += scale is not None
        return scale or "circ"


def _proper(fraction: ex.Node) -> Fraction | None:
    """The value of a fraction of two whole numbers, if it lies between 0 and 1."""
    if not isinstance(fraction, ex.Product) or len(fraction.factors) != 2:
        return None
    over, under = fraction.factors
    if not isinstance(under, ex.Power) or not isinstance(over, ex.Number) or not isinstance(under.base, ex.Number):
        return None
    if over.decimals is not None or under.base.decimals is not None or not under.base.value:
        return None
    value = over.value / under.base.value
    return value if 0 < value < 1 else None


def _renamed(node: ex.Node, mark: str) -> ex.Node:
    if isinstance(node, ex.Symbol):
        return ex.Symbol(node.name + mark)
    if isinstance(node, ex.Number) and mark in ("'", "''"):
        return ex.Quantity(node, "'" if mark == "'" else "''")
    raise Unreadable("a prime where none can be")
