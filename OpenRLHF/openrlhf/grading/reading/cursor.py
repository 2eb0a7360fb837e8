"""The parser's place in its tokens, and what its layers ask of each other."""

from abc import ABC, abstractmethod

from openrlhf.grading.reading import expressions as ex
from openrlhf.grading.reading.lexer import Token, Unreadable

DEEPEST = 60


class Cursor(ABC):
    """Reads tokens one by one. `depth` bounds the nesting."""

    def __init__(self, found: list[Token]) -> None:
        self.found = found
        # The text of every mark and command; "" for other tokens.
        self.texts = [token.text if token.kind in ("mark", "command") else "" for token in found]
        self.at = 0
        self.depth = 0
        # Inside of |…| and of {x | …} a bar closes or separates; it does not open an absolute value.
        self.bars = 0

    def peek(self, ahead: int = 0) -> Token | None:
        index = self.at + ahead
        return self.found[index] if 0 <= index < len(self.found) else None

    def text(self, ahead: int = 0) -> str:
        """Text of the token if it is a mark or a command; "" for anything else and at the end."""
        index = self.at + ahead
        return self.texts[index] if 0 <= index < len(self.texts) else ""

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

    def descend(self) -> None:
        """Counts one more level of nesting; `depth` is to be lowered again behind it."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable("nested too deeply")

    @abstractmethod
    def listed(self, closers: frozenset[str]) -> ex.Node:
        """Items up to one of `closers`, as one node."""

    @abstractmethod
    def items(self, closers: frozenset[str]) -> tuple[list[ex.Node], str]:
        """Items up to one of `closers`, and what joins them."""

    @abstractmethod
    def relation(self) -> ex.Node: ...

    @abstractmethod
    def item(self) -> ex.Node: ...

    @abstractmethod
    def factor(self) -> ex.Node: ...

    @abstractmethod
    def starts_factor(self) -> bool: ...

    @abstractmethod
    def mixed_number(self, factors: list[ex.Node]) -> ex.Node | None: ...
