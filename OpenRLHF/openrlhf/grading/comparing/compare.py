"""Compares a prediction with a gold answer: text first, then the parsed answers."""

import re
from fractions import Fraction
from functools import lru_cache

from openrlhf.grading.comparing.identity import rational
from openrlhf.grading.comparing.numeric import TooComplex, Undefined
from openrlhf.grading.comparing.structure import Comparison
from openrlhf.grading.knowledge import words
from openrlhf.grading.knowledge.dates import date, same_date
from openrlhf.grading.policy import GradingPolicy
from openrlhf.grading.reading import expressions as ex
from openrlhf.grading.reading.lexer import Unreadable
from openrlhf.grading.reading.parser import parse
from openrlhf.grading.reading.parts import paired_parts
from openrlhf.grading.reading.phrases import same_parity, written_out
from openrlhf.grading.reading.respelling import counted, respelled, shown_remainder
from openrlhf.grading.reading.sentences import said_once
from openrlhf.grading.reading.text import compact, tidy

_CHOICE = re.compile(r"\(?([A-Za-j])\)(.*)|([A-Z])(?:\s*[.)](.*))?|([A-E]):(.*)", re.DOTALL)
_CHOICE_PREFIX = re.compile(
    r"^(?:(?:the )?(?:correct |right )?(?:answer|option|choice)(?: is)?(?: ?: ?| )|(?:故|应|答案)?(?:选择?|为|是):? ?)"
    r"(?=\(?[A-J](?![A-Za-z]))",
    re.IGNORECASE,
)
_EXPLAINED = re.compile(r"^([A-J]) \((.*)\)$")
_LOWER_CHOICE, _UPPER_CHOICE = re.compile("[a-d]"), re.compile("[A-E]")
_LETTERS = re.compile(r"[A-J](?:(?:\s*(?:,|;|&|/|\band\b|\bor\b)\s*|\s*)[A-J])+")
_OTHER_LETTER = re.compile(r"\([A-Ja-j]\)|(?<![A-Za-z])[A-J][.)] ")
_BRACKETED_LETTER = re.compile(r"\(([A-J])\)")
_ALGEBRA = re.compile(r"\\(?:int|iint|oint|sum|prod|lim|partial)(?![A-Za-z])")
_ORDINAL = re.compile(r"(\d+) ?\^? ?(?:st|nd|rd|th)")
_LONGEST_ALGEBRA = 400
_SCALARS = (ex.Sum, ex.Product, ex.Power, ex.Call, ex.Number, ex.Symbol, ex.Constant)
_UPRIGHT = re.compile(r"\\(?:text|textrm|mathrm|mbox) ?\{ ?([^{}]*?(?:[_^]\{\w\}[^{}]*?)*) ?\}")
# A chemical formula, with its numbers as subscripts or not: H_2O.
_FORMULA = re.compile(r"(?:[A-Z][a-z]?_?\d{0,2}){2,}")
_SINGLE = re.compile(r"([_^])\{ ?(\w) ?\}")
_GROUPED = re.compile(r"\d,\d{3}(?!\d)")
_SETS_IN_WORDS = {
    "all real numbers": "R", "real numbers": "R", "reals": "R", "empty set": "empty", "empty": "empty",
    "infinity": "infinity", "no solution": "empty", "none": "empty", "no real solution": "empty",
}  # fmt: skip


def compare(prediction: str, gold: str, policy: GradingPolicy) -> tuple[bool | None, str]:
    """(equal, how); `equal` is None where computer algebra has to decide."""
    unescape = policy.escapes == "undone"
    mine, theirs = said_once(*(written_out(tidy(answer, unescape)) for answer in (prediction, gold)))
    if policy.remainders == "value":
        mine, theirs = shown_remainder(mine), shown_remainder(theirs)
    if policy.combinations == "counted":
        mine, theirs = counted(mine), counted(theirs)
    if parts := paired_parts(mine, theirs):
        return all(compare(*pair, policy)[0] for pair in parts), "structure"
    by_text = _compare_text(mine, theirs, policy)
    if by_text is not None:
        return by_text, "text"
    first, second = _read(mine), _read(theirs)
    if first is None or second is None:
        return _unread(mine, theirs, first or second)
    equal, how = _compare_read(first, second, policy)
    # "100,200" may be two numbers, but only where the other side says that there are several.
    listed = _several(second) or (_several(first) and not isinstance(first, ex.Tuple))
    if not equal and listed and _GROUPED.search(mine + " " + theirs):
        first, second = _read(mine, thousands=False), _read(theirs, thousands=False)
        if first is not None and second is not None:
            return _compare_read(first, second, policy)
    return equal, how


def _unread(mine: str, gold: str, read: ex.Node | None) -> tuple[bool | None, str]:
    """The verdict where one side, or both, cannot be parsed; `read` is the side that can."""
    algebra = _ALGEBRA.search(mine) or _ALGEBRA.search(gold)
    if algebra and (read is None or isinstance(read, _SCALARS)) and max(len(mine), len(gold)) < _LONGEST_ALGEBRA:
        return None, "symbolic"
    wordy = any(len(words.plain_words(text).split()) > 1 for text in (mine, gold))
    return False, "text" if wordy or isinstance(read, ex.Words) else "unreadable"


def _compare_read(mine: ex.Node, gold: ex.Node, policy: GradingPolicy) -> tuple[bool, str]:
    try:
        equal = Comparison(policy).same_answers(mine, gold)
    except (TooComplex, OverflowError):
        return False, "too_complex"
    except (Undefined, ZeroDivisionError):
        return False, "expression"
    return equal, _how(mine, gold)


def _how(mine: ex.Node, gold: ex.Node) -> str:
    if rational(mine) is not None and rational(gold) is not None:
        return "number"
    if isinstance(mine, ex.Words) or isinstance(gold, ex.Words):
        return "text"
    return "expression" if isinstance(mine, _SCALARS) and isinstance(gold, _SCALARS) else "structure"


@lru_cache(256)  # a gold comes with every sample of its prompt
def _read(text: str, thousands: bool = True) -> ex.Node | None:
    """The parsed answer, or None where it is not in the language."""
    text = respelled(text)
    plain = words.plain_words(text)
    if plain in _SETS_IN_WORDS:
        return ex.Constant(_SETS_IN_WORDS[plain])
    if (value := words.number_from_words(plain)) is not None:
        return ex.Number(value)
    if (place := _ordinal(plain)) is not None:
        return ex.Quantity(ex.Number(Fraction(place)), "th")
    try:
        return parse(text, thousands)
    except Unreadable:
        return None


def _ordinal(plain: str) -> int | None:
    """The place that "6th" or "sixth" names."""
    match = _ORDINAL.fullmatch(plain)
    return int(match.group(1)) if match else words.ORDINALS.get(plain)


def _several(node: ex.Node) -> bool:
    return isinstance(node, (ex.Listed, ex.SetOf, ex.Tuple))


def _compare_text(mine: str, gold: str, policy: GradingPolicy) -> bool | None:
    """What the words alone decide; None where they decide nothing."""
    mine_words, gold_words = words.plain_words(mine), words.plain_words(gold)
    if mine_words and mine_words == gold_words and _says_something(mine, gold):
        return True
    if (parity := same_parity(mine_words, gold_words)) is not None:
        return parity
    if (
        words.says_the_same(mine_words, gold_words)
        or ((listed := words.word_list(mine)) and listed == words.word_list(gold))
        or words.same_verdict(mine, gold)
        or words.same_letters(mine_words, gold_words)
        or compact(_plain(mine)) == compact(_plain(gold))
    ):
        return True
    if _FORMULA.fullmatch(_plain(mine)) and _plain(mine).replace("_", "") == _plain(gold).replace("_", ""):
        return True
    if {mine_words in words.ORDINALS, gold_words in words.ORDINALS} == {True, False}:
        cardinal = gold_words if mine_words in words.ORDINALS else mine_words
        if cardinal.replace("-", "").isalpha() and words.number_from_words(cardinal) is not None:
            # seven, seventh; "7" is read either way.
            return False
    mine_time, gold_time = words.clock_time(mine_words), words.clock_time(gold_words)
    if mine_time and gold_time:
        return words.same_time(mine_time, gold_time)
    mine_date, gold_date = date(mine_words), date(gold_words)
    if mine_date and gold_date:
        return same_date(mine_date, gold_date)
    return _compare_choices(mine, gold, policy)


def _says_something(mine: str, gold: str) -> bool:
    """Words have no case; symbols do, so that x and X differ."""
    letters = re.compile(r"[A-Za-z]+|[^\W\d_]+")
    runs = letters.findall(re.sub(r"\\[A-Za-z]+", " ", gold))
    wordy = any(len(run) > 2 for run in runs) or "\\text" in gold or "\\mbox" in gold or words.plain_words(gold) == "no"
    mine_words, gold_words = compact(words.plain_words(mine)), compact(words.plain_words(gold))
    return (wordy and mine_words == gold_words) or compact(mine) == compact(gold)


def _compare_choices(mine: str, gold: str, policy: GradingPolicy) -> bool | None:
    mine_plain, gold_plain = _untyped(mine), _untyped(gold)
    if _LOWER_CHOICE.fullmatch(mine_plain) and _UPPER_CHOICE.fullmatch(gold_plain):
        return mine_plain.upper() == gold_plain
    mine_letters, gold_letters = _letters(mine_plain), _letters(gold_plain)
    if mine_letters and gold_letters:
        return mine_letters == gold_letters
    mine_choice, gold_choice = _choice(mine_plain), _choice(gold_plain)
    if (mine_letters and gold_choice is not None) or (gold_letters and mine_choice is not None):
        return False
    if mine_choice is not None and gold_choice is not None:
        return mine_choice[0] == gold_choice[0]
    # A letter with its text against the text alone.
    if gold_choice is not None and gold_choice[1]:
        return compare(mine, gold_choice[1], policy)[0]
    if mine_choice is not None and mine_choice[1]:
        return compare(mine_choice[1], gold, policy)[0]
    return None


def _letters(text: str) -> list[str]:
    """The letters of "A, C", "(A) and (C)", "AC", in order; none where there are not several."""
    bare = _BRACKETED_LETTER.sub(r"\1", text)
    return sorted(re.findall("[A-J]", bare)) if _LETTERS.fullmatch(bare) else []


def _choice(text: str) -> tuple[str, str] | None:
    """(letter, text) of "B", "(B)", "(B) 12", "B. 12"."""
    match = _CHOICE.fullmatch(text)
    if match is None:
        return None
    letter = match.group(1) or match.group(3) or match.group(5)
    rest = (match.group(2) or match.group(4) or match.group(6) or "").strip()
    # (a) 3, (b) 4 has parts and chooses nothing.
    return None if _OTHER_LETTER.search(rest) else (letter.upper(), rest)


def _plain(text: str) -> str:
    r"""Without upright type and with the braces around single characters left out: \mathrm{H_{2}O} is H_2O."""
    return _SINGLE.sub(r"\1\2", _UPRIGHT.sub(r"\1", text))


def _untyped(text: str) -> str:
    r"""Without `\text{…}` around words and without outer emphasis."""
    text = re.sub(r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox|rm|bf)\s*\{([^{}]*)\}", r"\1", text)
    bare = _CHOICE_PREFIX.sub("", text.strip("* ")).strip()
    # "Option B (47 days)"; without its announcement, B (47) may be anything.
    return bare if bare == text.strip("* ") else _EXPLAINED.sub(r"\1) \2", bare)
