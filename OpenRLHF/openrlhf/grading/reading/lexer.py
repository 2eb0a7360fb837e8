"""Tokens of a tidied answer: numbers, letters, commands, words, marks. Linear time, no evaluation."""

import re
from dataclasses import dataclass
from fractions import Fraction

from openrlhf.grading.extraction.boxes import closing_brace
from openrlhf.grading.knowledge.units import is_unit_word, is_upright_unit
from openrlhf.grading.knowledge.words import SCALES, number_from_words


class Unreadable(ValueError):
    """The answer is not in the language that this package reads."""


@dataclass(frozen=True, slots=True)
class Token:
    """kind: number, letter, command, word, text, mark. `text` as written; `value` of a number.

    spaced: whether a space stands before it. decimals: digits behind the point, less the power of
    ten of 1.5e3; None for integers.
    """

    kind: str
    text: str
    spaced: bool = False
    value: Fraction | None = None
    decimals: int | None = None


def names(text: str) -> frozenset[str]:
    """The words of `text`, as a set."""
    return frozenset(text.split())


FUNCTIONS = names(
    "sin cos tan cot sec csc arcsin arccos arctan arccot arcsec arccsc sinh cosh tanh coth sech csch arcsinh "
    "arccosh arctanh asin acos atan asinh acosh atanh ln log lg exp sqrt cbrt abs floor ceil gcd lcm max min "
    "det arg Re Im sgn binom cis"
)
_PLAIN_COMMANDS = FUNCTIONS | names("pi infty theta alpha beta gamma lambda omega cup cap pm mod")
_PLAIN_ALIASES = {
    "inf": "infty", "infinity": "infty", "Infinity": "infty", "oo": "infty", "Pi": "pi", "PI": "pi",
    "union": "cup", "ceiling": "ceil", "LCM": "lcm", "GCD": "gcd", "GCF": "gcd", "HCF": "gcd",
}  # fmt: skip
_TEXT_COMMANDS = names("text textrm textbf textit textnormal mathrm mbox hbox operatorname rm textsf")
_UNITS = re.compile(r"[A-Za-z]+(?:(?: ?[/*^-] ?| ?\^ ?-| per | )(?:[A-Za-z]+|\d+))*")
_UNIT_POWER = re.compile(r"\^ ?\{ ?(-?\d) ?\}")
_RATE = re.compile(
    r"(?:km|cm|mm|m|ft|mi|kg|mg|g|L|mL|kJ|J|mol|mmol|kcal|rad)/(?:sec|s|min|hr|h|cm|m|ml|mL|L|mol|kg|g)(?![A-Za-z])"
)
# What makes "min" or "sec" a function rather than a unit.
_ARGUMENT = re.compile(r" ?[({\\A-Za-z]")
_CONNECTIVES = frozenset(("or", "and"))

_NUMBER = re.compile(
    r"(?P<whole>\d{1,3}(?:(?:\{,\}| )\d{3})+(?!\d)|\d{1,3}(?:,\d{3})+(?!\d)|\d+)?"
    r"(?P<point>\.(?P<decimals>\d*))?"
    r"(?:[eE](?P<power>[-+]?\d+)(?![\dA-Za-z]))?"
)
_BARE_INTEGER = re.compile(r"\d+")
_REPEATING = re.compile(r"\\(?:overline|bar|dot) ?(?:\{(\d+)\}|(\d))(?:(\d*)\\dot ?(?:\{(\d+)\}|(\d)))?")
_BRACKETED_CYCLE = re.compile(r"\((\d+)\)$")
_ELLIPSIS = re.compile(r" ?(?:\.\.\.|\\(?:ldots|dots|cdots)(?![A-Za-z]))")
_COMMAND = re.compile(r"\\([A-Za-z]+)\*?|\\(.)", re.DOTALL)
_LETTERS = re.compile(r"[A-Za-z]+")
_LONG_RUN = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{4,}")
_ENVIRONMENT = re.compile(r"\\(?:begin|end) ?\{[A-Za-z]*\*?\}")
_FOREIGN = re.compile(r"[^\W\d_]+")
_BASED = re.compile(
    r"(?=[0-9A-Z]*[0-9]|[A-F]{2,} ?_ ?\{?1[1-6])([0-9A-Z]+)(?:\.([0-9A-Z]+))?"
    r" ?_ ?(?:\{ ?\(? ?(\d+) ?\)? ?\}|(\d+))(?![0-9A-Za-z])"
)
_ENDS_VALUE = frozenset(("}", ")", "]", "/", "pi", "cdot", "circ"))
_OPENING = frozenset("([")
_CLOSING = frozenset(")]")
_LONGEST_DECIMAL_EXPONENT = 10_000


def tokens(text: str, thousands: bool = True) -> list[Token]:
    """The tokens of `text` (as `tidy` leaves it).

    thousands: read "10,000" outside of brackets as one number; inside of brackets it is always two.
    Raises `Unreadable` for characters and constructs outside of the language.
    """
    return _Lexer(text, thousands).run()


class _Lexer:
    def __init__(self, text: str, thousands: bool) -> None:
        self.text = text
        self.thousands = thousands
        self.position = 0
        self.depth = 0
        self.spaced = False
        self.found: list[Token] = []
        # In an answer with words, "of" and "is" are words; without, they are products of letters.
        runs = _LONG_RUN.findall(_ENVIRONMENT.sub("", text) if "\\begin" in text else text)
        self.prose = any(run not in _PLAIN_COMMANDS and not run.isupper() for run in runs)

    def run(self) -> list[Token]:
        text = self.text
        while self.position < len(text):
            char = text[self.position]
            if char == " ":
                self.spaced = True
                self.position += 1
                continue
            if char.isascii() and (char.isdigit() or (char == "." and self._digit_follows())):
                self._number()
            elif char == "\\":
                self._command()
            elif char.isascii() and char.isalpha():
                self._letters()
            elif char.isalpha():
                match = _FOREIGN.match(text, self.position)
                assert match is not None
                self._add("word", match.group(), match.end())
            else:
                self._mark(char)
            self.spaced = False
        return self.found

    def _add(self, kind: str, text: str, end: int, value: Fraction | None = None, decimals: int | None = None) -> None:
        self.found.append(Token(kind, text, self.spaced, value, decimals))
        self.position = end

    def _digit_follows(self) -> bool:
        following = self.text[self.position + 1 : self.position + 2]
        rest = self.text[self.position + 1 :]
        return following.isdigit() or rest.startswith(("\\overline", "\\bar", "\\dot"))

    def _mark(self, char: str) -> None:
        if char == '"':
            self.position += 1
            return
        if char in "`#@?" or not char.isprintable():
            raise Unreadable(f"the character {char!r}")
        if char in _OPENING:
            self.depth += 1
        elif char in _CLOSING:
            self.depth = max(self.depth - 1, 0)
        pair = self.text[self.position : self.position + 2]
        if pair == "!=" and self.text[self.position - 1 : self.position].isdigit():
            # 6!=720 is a factorial, x != 5 is not.
            self._add("mark", "!", self.position + 1)
        elif pair in ("<=", ">=", "!=", "==", "**", "->", "=>"):
            self._add("mark", {"==": "=", "**": "^"}.get(pair, pair), self.position + 2)
        elif self.text.startswith("...", self.position):
            self._add("command", "ldots", self.position + 3)
        else:
            self._add("mark", char, self.position + 1)

    def _number(self) -> None:
        if self._based():
            return
        match = _NUMBER.match(self.text, self.position)
        assert match is not None
        whole = match["whole"] or ""
        if "," in whole.replace("{,}", "") and (self.depth or not self.thousands):
            bare = _BARE_INTEGER.match(self.text, self.position)
            assert bare is not None
            self._add("number", bare.group(), bare.end(), Fraction(int(bare.group())))
            return
        decimals = match["decimals"] or ""
        digits = re.sub(r"\D", "", whole) + decimals
        if not digits and not match["point"]:
            raise Unreadable("a number without digits")
        value = Fraction(int(digits or "0"), 10 ** len(decimals))
        end = match.end()
        if match["power"]:
            exponent = int(match["power"])
            if abs(exponent) > _LONGEST_DECIMAL_EXPONENT:
                raise Unreadable("a power of ten beyond all use")
            value *= Fraction(10) ** exponent
        elif match["point"]:
            value, end = self._repeating(value, decimals, end)
        places = None
        if (match["point"] or match["power"]) and end == match.end():
            places = len(decimals) - int(match["power"] or 0)
        self._add("number", self.text[self.position : end], end, value, places)

    def _repeating(self, value: Fraction, decimals: str, end: int) -> tuple[Fraction, int]:
        """Adds a repeating part: 0.1\\overline{6}, 0.\\dot{1}2\\dot{3}, 0.333…"""
        if match := _REPEATING.match(self.text, end):
            cycle = "".join(group for group in match.groups() if group)
            return value + Fraction(int(cycle), (10 ** len(cycle) - 1) * 10 ** len(decimals)), match.end()
        if match := _BRACKETED_CYCLE.match(self.text, end):
            cycle = match.group(1)
            return value + Fraction(int(cycle), (10 ** len(cycle) - 1) * 10 ** len(decimals)), match.end()
        if (match := _ELLIPSIS.match(self.text, end)) and (digits := _cycle(decimals)):
            return value + Fraction(int(digits), (10 ** len(digits) - 1) * 10 ** len(decimals)), match.end()
        return value, end

    def _based(self) -> bool:
        """A numeral with its base as a subscript, 1101_2 or A5_{11}, is the number that it denotes."""
        match = _BASED.match(self.text, self.position)
        if match is None:
            return False
        value = _in_base(match)
        if value is None:
            return False
        self._add("number", match.group(), match.end(), value)
        return True

    def _command(self) -> None:
        match = _COMMAND.match(self.text, self.position)
        if match is None:
            raise Unreadable("a lone backslash")
        name: str = match.group(1) or match.group(2)
        if name in _TEXT_COMMANDS:
            self._text_group(match.end(), upright=name in ("mathrm", "operatorname", "rm"))
        elif name in ("begin", "end"):
            close = closing_brace(self.text, match.end())
            if close is None:
                raise Unreadable("an environment without a name")
            self._add(name, self.text[match.end() + 1 : close].rstrip("*"), close + 1)
        elif name in "{}":
            self.depth = self.depth + 1 if name == "{" else max(self.depth - 1, 0)
            self._add("mark", "\\" + name, match.end())
        elif name in "%$&|":
            self._add("mark", name, match.end())
        else:
            self._add("command", name, match.end())

    def _text_group(self, start: int, upright: bool) -> None:
        while start < len(self.text) and self.text[start] == " ":
            start += 1
        if start >= len(self.text) or self.text[start] != "{":
            self.position = start
            return
        close = closing_brace(self.text, start)
        if close is None:
            raise Unreadable("text that is cut off")
        content = self.text[start + 1 : close]
        following = self.text[close + 1 : close + 5].lstrip(" ")
        if following.startswith("_") and (based := _BASED.match(content + self.text[close + 1 :])):
            value = _in_base(based)
            if value is None:
                raise Unreadable("a numeral that does not fit its base")
            self._add("number", based.group(), close + 1 + based.end() - len(content), value)
            return
        self._text_content(content, close + 1, upright)

    def _text_content(self, content: str, end: int, upright: bool) -> None:
        stripped = _UNIT_POWER.sub(r"^\1", content.strip())
        runs = _LETTERS.findall(stripped)
        if stripped.lower() in _CONNECTIVES:
            self._add("word", stripped.lower(), end)
        elif self._after_value() and is_upright_unit(stripped):
            self._add("text", stripped, end)
        elif (
            self._after_value()
            and _UNITS.fullmatch(units := stripped.replace("\\cdot", "*"))
            and all(is_unit_word(run) for run in _LETTERS.findall(units))
        ):
            self._add("text", units, end)
        elif stripped in FUNCTIONS:
            self._add("command", stripped, end)
        elif content.isascii() and all(len(run) == 1 or run.lower() in _CONNECTIVES for run in runs):
            self.found.extend(_Lexer(content, self.thousands).run())
            self.position = end
        elif upright and stripped.isascii() and stripped.isalpha() and len(stripped) <= 3:
            self._split_letters(stripped)
            self.position = end
        elif stripped:
            self._words(stripped, end)
        else:
            self.position = end

    def _after_value(self) -> bool:
        if not self.found:
            return False
        last = self.found[-1]
        return last.kind in ("number", "letter", "text") or last.text in _ENDS_VALUE

    def _after_word(self) -> bool:
        """Whether words go on here: "years old", "push-ups"."""
        kinds = [token.kind if token.text != "-" else "-" for token in self.found[-2:]]
        return kinds[-1:] == ["text"] or kinds == ["text", "-"]

    def _letters(self) -> None:
        if self._based():
            return
        if self._after_value() and (rate := _RATE.match(self.text, self.position)):
            self._add("text", rate.group(), rate.end())
            return
        match = _LETTERS.match(self.text, self.position)
        assert match is not None
        run, end = match.group(), match.end()
        name = _PLAIN_ALIASES.get(run, run)
        if run.lower() in _CONNECTIVES and len(run) > 1:
            self._add("word", run.lower(), end)
        elif self._after_value() and (
            run == "per" or (len(run) > 1 and is_unit_word(run) and not _ARGUMENT.match(self.text, end))
        ):
            self._add("text", run, end)
        elif name in _PLAIN_COMMANDS:
            self._add("command", name, end)
        elif run == "U" and self.found and self.found[-1].text in (")", "]", "\\}"):
            self._add("command", "cup", end)
        elif self.prose and run.lower() in _SHORT_WORDS and self.text[end : end + 1] not in ("_", "=", "^"):
            self._words(run, end)
        elif len(run) > 1 and self._after_value() and is_unit_word(run):
            self._add("text", run, end)
        elif self.prose and len(run) > 1 and self._after_word():
            self._words(run, end)
        elif len(run) == 1 or (len(run) <= 3 and number_from_words(run) is None) or run.isupper():
            self._split_letters(run)
        elif (prefix := next((f for f in _SHORT_FUNCTIONS if run.startswith(f)), None)) and len(run) == len(prefix) + 1:
            self._add("command", prefix, self.position + len(prefix))
        else:
            self._words(run, end)

    def _split_letters(self, run: str) -> None:
        for letter in run:
            self._add("letter", letter, self.position + 1)
            self.spaced = False

    def _words(self, words: str, end: int) -> None:
        value = number_from_words(words)
        if value is None or (words.lower() in SCALES and self._after_value()):
            self._add("text", words, end)
        else:
            self._add("number", words, end, value)


# Functions that people write without a space before their argument: sinx, lnx.
_SHORT_WORDS = names("of at is by to on if for the are not all in it as from with per a an no")
_SHORT_FUNCTIONS = ("sin", "cos", "tan", "ln", "log")


def _cycle(decimals: str) -> str | None:
    """The digits that repeat at the end of "0.1666": twice at least, three times for one digit."""
    for length in range(1, len(decimals) // 2 + 1):
        cycle = decimals[-length:]
        if decimals.endswith(cycle * (3 if length == 1 else 2)):
            return cycle
    return None


def _in_base(match: re.Match[str]) -> Fraction | None:
    """The value of a numeral that `_BASED` matched; None where a digit or the base is impossible."""
    base = int(match.group(3) or match.group(4))
    decimals = match.group(2) or ""
    if not 2 <= base <= 36:
        return None
    try:
        return Fraction(int(match.group(1) + decimals, base), base ** len(decimals))
    except ValueError:
        return None
