"""Reads an answer into `expressions`: recursive descent over `lexer` tokens, with a bound on nesting.

The layers, from the inside: `bases`, `arithmetic`, and here relations, lists, quantities.
"""

import re
from dataclasses import replace
from fractions import Fraction

from openrlhf.grading.knowledge.words import SCALES
from openrlhf.grading.reading import expressions as ex
from openrlhf.grading.reading.arithmetic import Arithmetic
from openrlhf.grading.reading.lexer import Unreadable, names, tokens
from openrlhf.grading.reading.vocabulary import RELATIONS, SET_OPERATORS

_CURRENCIES = ("$", "£", "€", "₹", "¥", "¢")
_OPERATIONS = names("plus minus times over factorial squared cubed divided multiplied more less choose")
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


class _Parser(Arithmetic):
    """The outermost layer."""

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
        self.descend()
        items: list[ex.Node] = []
        joined = ","
        while self.peek() is not None and self.text() not in closers:
            item = self.relation()
            if self.accept("over"):
                item = ex.Product((item, ex.reciprocal(self.relation())))
            elif self.accept("choose"):
                item = ex.Call("binomial", (item, self.relation()))
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
        if len(items) > 1 and (declared := _declared(items[-1])):
            # "pi + k pi, k in Z" says what k is.
            items = _over_integers(items[:-1], items[-1], *declared)
        return items, joined

    def separator(self) -> str | None:
        token = self.peek()
        if token is None:
            return None
        if token.kind == "mark" and token.text in (",", ";", "&"):
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
        if (first := self.operator()) is not None:
            return ex.Relation((ex.Symbol("?"), self.item()), (first,))
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
        if text in RELATIONS:
            self.at += 1
            if text in ("<", ">") and self.accept("="):
                return text + "="
            return RELATIONS[text]
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

    def item(self) -> ex.Node:
        self.descend()
        node = self.ratio()
        while self.text() in SET_OPERATORS:
            operator = SET_OPERATORS[self.take().text]
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
            return self.named_function() or ex.Words(self.unit())
        node = self.scaled(self.sum())
        unit = self.unit()
        if not unit:
            return ex.Quantity(node, currency) if currency else node
        parts: list[ex.Node] = [ex.Quantity(node, unit)]
        while (token := self.peek()) is not None and token.kind == "number":
            node = self.scaled(self.sum())
            parts.append(ex.Quantity(node, self.unit()))
        if len(parts) > 1:
            return ex.Sum(tuple(parts))
        return parts[0]

    def named_function(self) -> ex.Node | None:
        r"""\text{Var}(X) where "=" follows: the value of a function with a long name."""
        name = self.take().text
        if self.text() == "(" and self.text(len(self.bracket_content()) + 2) == "=":
            return self.applied(name)
        self.at -= 1
        return None

    def scaled(self, node: ex.Node) -> ex.Node:
        """5 million, 2 dozen; "5 squared" is not read as 5 of something."""
        while (token := self.peek()) is not None and token.kind == "text":
            word, _, behind = token.text.lower().partition(" ")
            if word in ("more", "less") and self.peek(1) is None:
                break
            if word in _OPERATIONS:
                raise Unreadable("arithmetic in words")
            if word not in SCALES:
                break
            if behind:  # \text{million years}
                self.found[self.at] = replace(token, text=behind)
            else:
                self.at += 1
            node = ex.Product((node, ex.Number(Fraction(SCALES[word]))))
        return node

    def unit(self) -> str:
        """The words and unit marks here, as text; "" where there are none."""
        words: list[str] = []
        if self.accept(*_CURRENCIES):
            words.append(self.found[self.at - 1].text)
        while (token := self.peek()) is not None:
            following = self.peek(1)
            if token.kind in ("text", "word") and not (token.kind == "word" and token.text in ("or", "and")):
                words.append(token.text)
            elif token.text == "(" and following is not None and following.kind == "text" and self._bracketed_unit():
                words.append("(")
            elif token.text == ")" and words and words.count("(") > words.count(")"):
                words.append(")")
            elif words and token.text == "^":
                words.append("^")
                self.at += 1
                words.append(self.exponent_text())
                continue
            elif words and token.text in ("/", "-", "cdot", "*") and following is not None and following.kind == "text":
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


def _declared(node: ex.Node) -> tuple[str, str] | None:
    """(name, number set) of "k in Z"."""
    if not isinstance(node, ex.Relation) or node.operators != ("in",):
        return None
    variable, number_set = node.sides
    if not isinstance(number_set, ex.Constant) or number_set.name not in ("Z", "N", "R"):
        return None
    return (variable.name, number_set.name) if isinstance(variable, ex.Symbol) else ("", "R")


def _over_integers(items: list[ex.Node], declaration: ex.Node, name: str, number_set: str) -> list[ex.Node]:
    """The items for all integers of that name: general solutions, or the integers that meet conditions on them."""
    about = [any(part == ex.Symbol(name) for part in item.walk()) for item in items]
    bounds = [isinstance(item, ex.Relation) and {"<", ">", "<=", ">="} & set(item.operators) for item in items]
    if number_set in ("Z", "N") and all(about) and all(bounds):
        return [ex.SetBuilder(ex.Symbol(name), (*items, declaration))]
    if number_set != "Z":
        return items
    return [_progression(item, name) if occurs else item for item, occurs in zip(items, about, strict=True)]


def _progression(item: ex.Node, name: str) -> ex.Node:
    if isinstance(item, ex.Relation):
        return ex.Relation((*item.sides[:-1], ex.Progression(item.sides[-1], name)), item.operators)
    return ex.Progression(item, name)
