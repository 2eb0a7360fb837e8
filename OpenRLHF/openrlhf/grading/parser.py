"""Reads an answer into `expressions`: recursive descent over `lexer` tokens, with a bound on nesting."""

import re
from fractions import Fraction
from itertools import permutations

from openrlhf.grading import expressions as ex
from openrlhf.grading.lexer import FUNCTIONS, Token, Unreadable, names, tokens
from openrlhf.grading.words import number_from_words

_DEEPEST = 60
_RELATIONS = {
    "=": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "!=": "!=", "le": "<=", "leq": "<=",
    "leqslant": "<=", "ge": ">=", "geq": ">=", "geqslant": ">=", "lt": "<", "gt": ">", "ne": "!=",
    "neq": "!=", "approx": "~", "in": "in", "sim": "~", "cong": "=", "equiv": "=", "simeq": "~",
    "doteq": "~", "coloneqq": "=",
}  # fmt: skip
_SET_OPERATORS = {
    "cup": "cup", "bigcup": "cup", "cap": "cap", "setminus": "setminus", "backslash": "setminus",
}  # fmt: skip
_TIMES = frozenset(("*", "times", "cdot", "ast", "bullet"))
_OVER = frozenset(("/", "div"))
_CONSTANTS = {"pi": "pi", "infty": "infinity", "emptyset": "empty", "varnothing": "empty"}
_NUMBER_SETS = {"R": "R", "Z": "Z", "N": "N", "Q": "Q", "C": "C"}
_ACCENTS = names(
    "vec hat bar tilde dot ddot overline overrightarrow widehat widetilde mathbf boldsymbol bm mathcal "
    "mathbb mathit mathsf underline mathscr mathfrak textcircled"
)
_FUNCTION_LETTERS = frozenset("fgFGhHPQuvwpqyTNCsSR")
_TRIGONOMETRIC = names("sin cos tan cot sec csc sinh cosh tanh coth sech csch")
_CURRENCIES = ("$", "£", "€", "₹", "¥")
_TEMPERATURES = {"F": "fahrenheit", "C": "celsius"}
_BETWEEN_UNITS = {"/": "/", "-": "-", "cdot": "*", "*": "*"}
_FENCES = {"langle": ("rangle", "<>"), "lfloor": ("rfloor", "floor"), "lceil": ("rceil", "ceil")}
_BARS = frozenset(("|", "vert", "lvert", "rvert", "mid"))
_MATRICES = names("matrix pmatrix bmatrix Bmatrix vmatrix array smallmatrix cases aligned")
_UNREADABLE = names("overset underset stackrel color textcolor int iint oint sum prod lim")
_ABOUT = frozenset(("about", "approximately", "approx", "roughly", "around", "exactly", "nearly", "almost"))
# French intervals turn the bracket of an open end around: ]0, 1[.
_OPEN_RIGHT = re.compile(r"([\[\]])([^\[\]()]+,[^\[\]()]+)\[")
_OPEN_LEFT = re.compile(r"\]([^\[\]()]+,[^\[\]()]+)([\])])")


def parse(text: str, thousands: bool = True) -> ex.Node:
    """The answer that `text` (as `tidy` leaves it) writes down.

    thousands: see `lexer.tokens`. Raises `Unreadable` where the text is not in the language.
    """
    if "]" in text or "[" in text:
        text = _OPEN_LEFT.sub(r"(\1\2", _OPEN_RIGHT.sub(r"\1\2)", text))
    return _Parser(tokens(text, thousands)).whole()


class _Parser:
    def __init__(self, found: list[Token]) -> None:
        self.found = found
        self.at = 0
        self.depth = 0
        # Inside of |…| and of {x | …} a bar closes or separates; it does not open an absolute value.
        self.bars = 0

    # Looking at tokens.

    def peek(self, ahead: int = 0) -> Token | None:
        index = self.at + ahead
        return self.found[index] if 0 <= index < len(self.found) else None

    def text(self, ahead: int = 0) -> str:
        """Text of the token if it is a mark or a command; "" for anything else and at the end."""
        token = self.peek(ahead)
        return token.text if token is not None and token.kind in ("mark", "command") else ""

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise Unreadable("the answer ends too early")
        self.at += 1
        return token

    def accept(self, *texts: str) -> bool:
        if self.text() in texts:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            token = self.peek()
            raise Unreadable(f"expected {text!r}, found {token.text if token else 'the end'!r}")

    # Lists and relations.

    def whole(self) -> ex.Node:
        answer = self.listed(frozenset())
        if self.peek() is not None:
            raise Unreadable(f"cannot read on from {self.found[self.at].text!r}")
        return answer

    def listed(self, closers: frozenset[str]) -> ex.Node:
        """Items separated by commas, semicolons, "or", "and"; one item alone is itself."""
        items, joined = self.items(closers)
        return items[0] if len(items) == 1 else ex.Listed(tuple(items), joined)

    def items(self, closers: frozenset[str]) -> tuple[list[ex.Node], str]:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise Unreadable("nested too deeply")
        items: list[ex.Node] = []
        joined = ","
        while self.peek() is not None and self.text() not in closers:
            item = self.relation()
            if self.accept("over"):
                item = ex.Product((item, ex.reciprocal(self.relation())))
            items.append(item)
            separated = False
            while (word := self.separator()) is not None:
                separated = True
                joined = word if word in ("or", "and", ";") else joined
            if not separated:
                break
        self.depth -= 1
        if not items:
            raise Unreadable("nothing where an answer was expected")
        if len(items) > 1 and _names_integers(items[-1]):
            # "pi + k pi, k in Z" says what k is.
            items.pop()
        return items, joined

    def separator(self) -> str | None:
        token = self.peek()
        if token is None:
            return None
        if token.kind == "mark" and token.text in (",", ";"):
            self.at += 1
            return token.text
        if token.kind == "word" and token.text in ("or", "and"):
            self.at += 1
            return token.text
        if token.kind == "command" and token.text in ("vee", "lor", "wedge", "land"):
            self.at += 1
            return "or" if token.text in ("vee", "lor") else "and"
        return None

    def relation(self) -> ex.Node:
        while (token := self.peek()) is not None and token.kind == "text" and token.text.lower() in _ABOUT:
            self.at += 1
        sides: list[ex.Node] = []
        operators: list[str] = []
        # "≈ 8.24" or "= 5": the left side was not repeated.
        if self.accept("approx", "sim"):
            return ex.Relation((ex.Symbol("?"), self.item()), ("~",))
        self.accept("=")
        sides.append(self.item())
        while (operator := self.operator()) is not None:
            operators.append(operator)
            sides.append(self.item())
        if self.text() in ("pmod", "bmod", "mod") or (self.text() == "(" and self.text(1) == "mod"):
            sides[-1] = self.modulo(sides[-1])
        return ex.Relation(tuple(sides), tuple(operators)) if operators else sides[0]

    def operator(self) -> str | None:
        text = self.text()
        if text == "not" and self.text(1) in ("=", "in"):
            self.at += 2
            return "!=" if self.text(-1) == "=" else "notin"
        if text in _RELATIONS:
            self.at += 1
            if text in ("<", ">") and self.accept("="):
                return text + "="
            return _RELATIONS[text]
        return None

    def modulo(self, value: ex.Node) -> ex.Node:
        bracket = self.accept("(")
        self.take()
        grouped = self.accept("{")
        modulus = self.item()
        if grouped:
            self.expect("}")
        if bracket:
            self.expect(")")
        return ex.Modulo(value, modulus)

    # Items: set operations, ratios, quantities.

    def item(self) -> ex.Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise Unreadable("nested too deeply")
        node = self.ratio()
        while self.text() in _SET_OPERATORS:
            operator = _SET_OPERATORS[self.take().text]
            node = ex.SetOperation(operator, node, self.ratio())
        self.depth -= 1
        return node

    def ratio(self) -> ex.Node:
        terms = [self.quantity()]
        while self.text() in (":", "colon") and not self.bars:
            self.at += 1
            terms.append(self.quantity())
        return ex.Ratio(tuple(terms)) if len(terms) > 1 else terms[0]

    def quantity(self) -> ex.Node:
        """A sum, and the words or unit behind it; "2 hours 30 minutes" is the sum of two quantities."""
        currency = ""
        if self.text() in _CURRENCIES or self.text() == "pounds":
            currency = {"pounds": "£"}.get(self.text(), self.text())
            self.at += 1
        elif self.text() in ("-", "+") and self.text(1) in _CURRENCIES:
            currency = self.found.pop(self.at + 1).text
        token = self.peek()
        if token is not None and token.kind in ("text", "word"):
            return ex.Words(self.unit())
        node = self.sum()
        unit = self.unit()
        if not unit:
            return ex.Quantity(node, currency) if currency else node
        parts: list[ex.Node] = [ex.Quantity(node, unit)]
        while (token := self.peek()) is not None and token.kind == "number":
            node = self.sum()
            parts.append(ex.Quantity(node, self.unit()))
        if len(parts) > 1:
            return ex.Sum(tuple(parts))
        return parts[0]

    def unit(self) -> str:
        """The words and unit marks here, as text; "" where there are none."""
        words: list[str] = []
        if self.accept(*_CURRENCIES):
            words.append(self.found[self.at - 1].text)
        while (token := self.peek()) is not None:
            following = self.peek(1)
            if token.kind in ("text", "word") and not (token.kind == "word" and token.text in ("or", "and")):
                words.append(token.text)
            elif (
                token.text == "("
                and following is not None
                and following.kind == "text"
                and self._bracketed_unit()
            ):
                words.append("(")
            elif token.text == ")" and words and words.count("(") > words.count(")"):
                words.append(")")
            elif words and token.text == "^":
                words.append("^")
                self.at += 1
                words.append(self.exponent_text())
                continue
            elif (
                words
                and token.text in ("/", "-", "cdot", "*")
                and following is not None
                and following.kind == "text"
            ):
                words.append(token.text if token.text != "cdot" else "*")
            elif words and token.text in ("/", "-") and following is not None and following.kind == "letter":
                words.append(token.text)
                self.at += 1
                words.append(following.text)
            else:
                break
            self.at += 1
        return " ".join(words)

    def _bracketed_unit(self) -> bool:
        """Whether the bracket here holds words alone, as in "45 (boxes)"."""
        index = self.at + 1
        while index < len(self.found) and self.found[index].kind in ("text", "word"):
            index += 1
        return self.at + 1 < index < len(self.found) and self.found[index].text == ")"

    def exponent_text(self) -> str:
        grouped = self.accept("{")
        sign = "- " if self.accept("-") else ""
        token = self.take()
        if token.kind != "number":
            raise Unreadable("a unit with a power that is no number")
        if grouped:
            self.expect("}")
        return sign + token.text

    # Arithmetic.

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
            self.depth += 1
            if self.depth > _DEEPEST:
                raise Unreadable("too many signs")
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
            if text in _TIMES:
                self.at += 1
                factors.append(self.signed_factor())
            elif text in _OVER:
                self.at += 1
                factors.append(ex.reciprocal(self.signed_factor()))
            elif self.starts_factor():
                if mixed := self.mixed_number(factors):
                    factors[-1] = mixed
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
            if value is not None and self.text() not in ("^",):
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
            closes = token.text in _BARS and self.bars
            return token.text.isalpha() and token.text not in _NOT_FACTORS and not closes
        return token.kind == "begin"

    def factor(self) -> ex.Node:
        node = self.base()
        while True:
            text = self.text()
            if text == "^" and self.text(1) in ("circ", "{") and self.degrees():
                return ex.Quantity(node, self.temperature())
            if text == "^":
                self.at += 1
                node = ex.Power(node, self.exponent())
            elif text == "!":
                self.at += 1
                node = ex.Call("factorial", (node,))
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

    def degrees(self) -> bool:
        r"""Accepts `^\circ` and `^{\circ}`."""
        if self.text(1) == "circ":
            self.at += 2
            return True
        if self.text(1) == "{" and self.text(2) == "circ" and self.text(3) == "}":
            self.at += 4
            return True
        return False

    def temperature(self) -> str:
        """The unit after a degree sign: an angle, unless F or C follows."""
        token = self.peek()
        scale = (
            _TEMPERATURES.get(token.text) if token is not None and token.kind in ("letter", "text") else None
        )
        self.at += scale is not None
        return scale or "circ"

    def exponent(self) -> ex.Node:
        if self.accept("'"):
            return ex.Symbol("'")
        if self.accept("-"):
            return ex.negated(self.one_argument())
        return self.one_argument()

    def one_argument(self) -> ex.Node:
        """What TeX takes as an argument: a group, a command with its arguments, or one digit or letter."""
        token = self.peek()
        if token is None:
            raise Unreadable("an argument is missing")
        if token.text == "{" and token.kind == "mark":
            return self.group("{", "}")
        if token.kind == "number":
            return self.digit()
        self.depth += 1
        if self.depth > _DEEPEST:
            raise Unreadable("nested too deeply")
        node = self.base()
        self.depth -= 1
        return node

    def digit(self) -> ex.Node:
        r"""The first digit of a number, leaving the rest: \frac12, \sqrt32; "x^10" is meant whole, though."""
        token = self.take()
        assert token.value is not None
        before = self.peek(-2)
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

    # Bases.

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
        if name in _FUNCTION_LETTERS and [self.text(k) for k in (0, 1, 2, 4, 5)] == ["^", "{", "-", "}", "("]:
            # The inverse function f^{-1}(x).
            self.at += 5
            return self.applied(name + "^-1")
        opening = self.peek()
        if name[0] in _FUNCTION_LETTERS and self.text() == "(" and opening is not None and not opening.spaced:
            return self.applied(name)
        if name in ("A", "B", "C", "D", "M", "P", "Q") and self.text() == "(":
            return self.applied(name)
        return node

    def applied(self, name: str) -> ex.Node:
        """f(…): an unknown function at its arguments."""
        self.expect("(")
        saved, self.bars = self.bars, 0
        arguments, _ = self.items(frozenset(")"))
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
            conditions, _ = self.items(frozenset(("\\}",)))
            self.expect("\\}")
            if len(items) != 1:
                raise Unreadable("a set of several elements with a condition")
            return ex.SetBuilder(items[0], tuple(conditions))
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
        subscript = self.raw_argument()
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
        if name in _ACCENTS:
            return ex.Symbol(f"{name}:{self.raw_argument()}")
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
        if name in (
            "overset",
            "underset",
            "stackrel",
            "color",
            "textcolor",
            "int",
            "iint",
            "oint",
            "sum",
            "prod",
            "lim",
        ):
            raise Unreadable(f"the construct \\{name}")
        if name in _NOT_FACTORS or not name.isalpha():
            raise Unreadable(f"unexpected \\{name}")
        return self.greek(name)

    def greek(self, name: str) -> ex.Node:
        """Any other command without arguments is a symbol of that name."""
        node: ex.Node = ex.Symbol(
            {"varphi": "phi", "varepsilon": "epsilon", "vartheta": "theta"}.get(name, name)
        )
        while self.text() == "_":
            node = self.subscripted(node)
        return node

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
        grid = ex.Matrix(tuple(rows))
        return determinant(grid) if kind == "vmatrix" else grid

    def matrix_row(self) -> ex.Tuple:
        cells = []
        while True:
            while self.accept("hline"):
                pass
            cells.append(self.relation())
            if self.accept("&"):
                continue
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
        if self.text() in ("(", "{", "[") and not (self.text() == "[" and name in _TRIGONOMETRIC):
            closing = {"(": ")", "{": "}", "[": "]"}[self.take().text]
            saved, self.bars = self.bars, 0
            items, _ = self.items(frozenset((closing,)))
            self.bars = saved
            self.expect(closing)
            return tuple(items)
        self.depth += 1
        if self.depth > _DEEPEST:
            raise Unreadable("nested too deeply")
        negative = self.accept("-")
        factors = [self.factor()]
        while self.starts_factor() and self.text() not in FUNCTIONS and self.text() not in ("(", "[", "\\{"):
            if mixed := self.mixed_number(factors):
                factors[-1] = mixed
                continue
            factors.append(self.factor())
        self.depth -= 1
        argument = factors[0] if len(factors) == 1 else ex.Product(tuple(factors))
        return (ex.negated(argument) if negative else argument,)


_NOT_FACTORS = (
    frozenset(_RELATIONS)
    | frozenset(_SET_OPERATORS)
    | _TIMES
    | _OVER
    | names("pm mp over not vee lor wedge land pmod bmod mod rangle rfloor rceil rvert colon to rightarrow")
    | names("implies Rightarrow iff quad circ $ % pounds mid subset subseteq cr hline end")
)


def _names_integers(node: ex.Node) -> bool:
    if not isinstance(node, ex.Relation) or node.operators != ("in",):
        return False
    number_set = node.sides[1]
    return isinstance(number_set, ex.Constant) and number_set.name in ("Z", "N", "R")


def _proper(fraction: ex.Node) -> Fraction | None:
    """The value of a fraction of two whole numbers, if it lies between 0 and 1."""
    if not isinstance(fraction, ex.Product) or len(fraction.factors) != 2:
        return None
    over, under = fraction.factors
    if (
        not isinstance(under, ex.Power)
        or not isinstance(over, ex.Number)
        or not isinstance(under.base, ex.Number)
    ):
        return None
    if over.decimals is not None or under.base.decimals is not None or not under.base.value:
        return None
    value = over.value / under.base.value
    return value if 0 < value < 1 else None


def _derivative(over: ex.Node, under: ex.Node) -> ex.Node | None:
    """dy/dx as the name that it is."""
    parts = [node.factors if isinstance(node, ex.Product) else (node,) for node in (over, under)]
    if len(parts[1]) != 2 or any(part[0] != ex.Symbol("d") for part in parts):
        return None
    symbols = [part.name for group in parts for part in group if isinstance(part, ex.Symbol)]
    return ex.Symbol("/".join(symbols)) if len(symbols) == len(parts[0]) + 2 else None


def _renamed(node: ex.Node, mark: str) -> ex.Node:
    if isinstance(node, ex.Symbol):
        return ex.Symbol(node.name + mark)
    if isinstance(node, ex.Number) and mark in ("'", "''"):
        return ex.Quantity(node, "'" if mark == "'" else "''")
    raise Unreadable("a prime where none can be")


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
