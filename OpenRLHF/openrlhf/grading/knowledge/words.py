"""Answers in words: numbers spelled out, times of day, and text compared without regard to its typography."""

import re
import unicodedata
from fractions import Fraction
from functools import lru_cache

_UNITS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SMALL = {word: number for number, word in enumerate(_UNITS)} | {
    word: 10 * number for number, word in enumerate(_TENS, start=2)
}
SCALES = {"hundred": 100, "dozen": 12, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    "half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "twelfth": 12, "hundredth": 100, "thousandth": 1000,
}  # fmt: skip
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth"
)
ORDINALS = {word: place for place, word in enumerate(_ORDINALS.split(), start=1)}
_SIGN_WORD = re.compile(r"(?:minus|negative) ")
_WORD_BREAK = re.compile(r"[\s-]+")

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*(?:([ap])\.?\s?m\.?)?", re.IGNORECASE)
_HOUR = re.compile(r"(\d{1,2})\s*([ap])\.?\s?m\.?", re.IGNORECASE)

_SPOKEN = re.compile(
    r"(?:(?P<count>half|quarter|[a-z]+?(?:-[a-z]+)?|\d{1,2})(?P<unit> minutes?)? "
    r"(?P<side>past|after|to|before|till) )?"
    r"(?P<hour>[a-z]+|\d{1,2})(?P<clock> o'?clock)?(?: (?P<half>[ap])\.? ?m\.?)?"
)
_TEXT_COMMAND = re.compile(r"\\(?:text|textrm|textbf|textit|textnormal|mathrm|mbox|hbox|operatorname)(?![A-Za-z])")
_MARKUP = re.compile(r"[{}$*\"“”]|\\[ ,;!]")
_FINAL_MARKS = re.compile(r"(?<=\w)[.!?](?=\s|$)|(?<=[^\W\d])[,;:](?=\s|$)|(?<=[a-z)])'s?(?=\s|$)")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b\s+(?=\w)")
_BLANKS = re.compile(r"\s+")

_SAME_MEANING = {
    "no solutions": "no solution", "no real solutions": "no real solution", "none": "none",
    "there is no solution": "no solution", "there are no solutions": "no solution", "dne": "does not exist",
    "it does not exist": "does not exist", "doesn't exist": "does not exist", "true statement": "true",
    "all reals": "all real numbers", "all real": "all real numbers", "every real number": "all real numbers",
    "any real number": "all real numbers", "no real number": "no solution",
    "infinite solutions": "infinitely many solutions", "infinitely many": "infinitely many solutions",
    "there are infinitely many": "infinitely many solutions", "infinite": "infinitely many solutions",
    "there are infinitely many solutions": "infinitely many solutions",
    "infinite number of solutions": "infinitely many solutions",
    "diverge": "diverges", "divergent": "diverges",
    "converge": "converges", "convergent": "converges", "correct": "true", "right": "right",
    "is undefined": "undefined", "not defined": "undefined", "neither": "neither",
}  # fmt: skip


_NO_SOLUTION = re.compile(r"^(?:there (?:is|are) |(?:it )?has )?no (real )?(?:solutions?|roots?)(?: exists?)?$")
_NO_SUCH = re.compile(r"^(?:there (?:is|are) )?no such \w+(?: exists?)?$")
_WORDY = re.compile(r"[^\W\d_]{2,}(?: [^\W\d_]{2,}){0,4}")
_ONLY_WORDS = re.compile(r"[^\W\d_]{3,}(?:[ -][^\W\d_]{3,})*")
_NEGATION = re.compile(r"\b(?:not|n't|never|neither)\b")
_OPPOSITE = {"yes": "no", "no": "yes", "true": "false", "false": "true"}
_REASONED = re.compile(r"\W*(yes|no|true|false)\W{0,3}[.;:!]\W{1,3}(\w.*)", re.IGNORECASE | re.DOTALL)
_RESTRICTED = re.compile(r"\b(?:but|unless|except|only|sometimes|however|not (?:always|necessarily))\b")
_ELABORATED = re.compile(r",| (?:it|they|this|that|he|she|because|since)\b")
_SEPARATOR = re.compile(r" ?, ?(?:and |or )?| and | or ")
_SUBJECT = re.compile(r"(?:[^\W\d_]+ ){1,4}(?:is|are|was|were)(?: both)?")
_TITLE = re.compile(r"^(?:mr|mrs|ms|miss|dr|prof|professor|sir)\b ?")
_NOUNS = frozenset(("triangle", "function", "number", "numbers", "integer", "lines", "line", "angle", "series"))


def number_from_words(text: str) -> Fraction | None:
    """The number that English words spell ("twenty-one", "two thirds", "3 million"); None for other text."""
    lowered = text.strip().lower()
    if sign := _SIGN_WORD.match(lowered):
        value = number_from_words(lowered[sign.end() :])
        return None if value is None else -value
    if lowered in ("half", "a half"):
        return Fraction(1, 2)
    before, joined, part_words = lowered.rpartition(" and ")
    if joined and (whole := _number(before)) is not None:
        rest = Fraction(1, 2) if part_words in ("half", "a half") else _number(part_words)
        if rest is not None and rest < 1:
            return whole + rest
    return _number(lowered)


def _number(text: str) -> Fraction | None:
    words = [word for word in _WORD_BREAK.split(text.strip()) if word != "and"]
    if not words or len(words) > 20:
        return None
    part = _PARTS.get(words[-1]) or _PARTS.get(words[-1].removesuffix("s")) or (2 if words[-1] == "halves" else None)
    if part is not None and len(words) > 1:
        count = Fraction(1) if words[:-1] in (["a"], ["an"], ["one"]) else _whole(words[:-1])
        # "three and a half" is not three halves.
        singular = words[-1] in _PARTS
        return None if count is None or (singular and count != 1) else count / part
    return _whole(words)


def _whole(words: list[str]) -> Fraction | None:
    total = current = Fraction(0)
    seen = False
    for word in words:
        if word in _SMALL:
            current += _SMALL[word]
        elif word == "hundred" and seen:
            current *= 100
        elif word == "dozen":
            current = (current or Fraction(1)) * 12
        elif word in SCALES and seen:
            total += current * SCALES[word]
            current = Fraction(0)
        elif not seen and re.fullmatch(r"\d+(?:\.\d+)?", word) and len(words) > 1:
            current = Fraction(word)
        else:
            return None
        seen = True
    return total + current


def clock_time(text: str) -> tuple[int, int, int, str] | None:
    """(hour, minute, second, "a", "p" or "") of a time of day; None for other text."""
    if text in ("noon", "midnight"):
        return 12, 0, 0, "p" if text == "noon" else "a"
    if match := _CLOCK.fullmatch(text):
        hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
        half = (match[4] or "").lower()
    elif match := _HOUR.fullmatch(text):
        hour, minute, second, half = int(match[1]), 0, 0, match[2].lower()
    else:
        return _spoken_time(text)
    if hour > 24 or minute > 59 or second > 59 or (half and not 1 <= hour <= 12):
        return None
    return hour, minute, second, half


def _spoken_time(text: str) -> tuple[int, int, int, str] | None:
    """Half past three, quarter to four, ten past five, three o'clock; "five to ten" without "minutes" is a ratio."""
    match = _SPOKEN.fullmatch(text)
    if match is None or not (match["side"] or match["clock"]):
        return None
    fixed = {"half": 30, "quarter": 15}.get(match["count"] or "")
    hour = number_from_words(match["hour"]) if match["hour"].isalpha() else Fraction(match["hour"])
    count = fixed if fixed else 0
    if match["count"] and not fixed:
        value = number_from_words(match["count"]) if match["count"][0].isalpha() else Fraction(match["count"])
        if value is None or not 0 < value < 60 or (match["side"] in ("to", "before", "till") and not match["unit"]):
            return None
        count = int(value)
    if hour is None or not 1 <= hour <= 12 or hour.denominator > 1:
        return None
    if match["side"] in ("to", "before", "till"):
        return (int(hour) + 10) % 12 + 1, 60 - count, 0, match["half"] or ""
    return int(hour), count, 0, match["half"] or ""


def same_time(first: tuple[int, int, int, str], second: tuple[int, int, int, str]) -> bool:
    """Whether two times of day agree; one without a.m. or p.m. leaves that open."""
    if first[1:3] != second[1:3]:
        return False
    if bool(first[3]) == bool(second[3]):
        return _hours(first) == _hours(second)
    marked, open_ = (first, second) if first[3] else (second, first)
    return open_[0] in (marked[0], _hours(marked))


def _hours(time: tuple[int, int, int, str]) -> int:
    if not time[3]:
        return time[0]
    return time[0] % 12 + (12 if time[3] == "p" else 0)


def word_list(answer: str) -> list[str]:
    """The words of "red, blue" or "red and blue", sorted; none where it is no list of words."""
    items = [plain_words(item) for item in _SEPARATOR.split(_TEXT_COMMAND.sub(" ", answer))]
    return sorted(items) if len(items) > 1 and all(map(_WORDY.fullmatch, items)) else []


def says_the_same(first: str, second: str) -> bool:
    """Whether one of two answers in plain words says in a sentence, or with its noun, what the other says in short."""
    return _says(first, second) or _says(second, first)


def same_verdict(first: str, second: str) -> bool:
    """Whether one answer (tidied) is a yes or no alone and the other says the same, and why, behind a full stop."""
    return _gives_reason(first, second) or _gives_reason(second, first)


def _gives_reason(mine: str, gold: str) -> bool:
    match = _REASONED.match(mine)
    verdict = plain_words(gold)
    if match is None or verdict not in _OPPOSITE or match[1].lower() != verdict:
        return False
    return not _RESTRICTED.search(match[2]) and _OPPOSITE[verdict] not in match[2].lower().split()


def _says(mine: str, gold: str) -> bool:
    if gold in _OPPOSITE:
        reason = mine.removeprefix(gold)
        turned = _RESTRICTED.search(reason) or _OPPOSITE[gold] in reason.split()
        return reason != mine and _ELABORATED.match(reason) is not None and not turned
    if gold == "neither" and mine.startswith("neither "):
        return True
    if not _WORDY.fullmatch(gold) or not mine or _NEGATION.search(mine):
        return False
    rest = mine.removesuffix(gold).rstrip() if mine.endswith(gold) else None
    if rest and (_SUBJECT.fullmatch(rest) or (gold in ("converges", "diverges") and len(rest.split()) < 4)):
        return True
    if (title := _TITLE.match(mine)) and mine[title.end() :] == gold:
        return True
    if mine == f"{gold}条件":
        return True
    return any({mine, gold} == {word, f"{word} {noun}"} for word in (mine, gold) for noun in _NOUNS)


def same_letters(first: str, second: str) -> bool:
    """Whether two answers in plain words differ in nothing but hyphens, blanks and accents."""
    if not _ONLY_WORDS.fullmatch(first) or not _ONLY_WORDS.fullmatch(second):
        return False
    return _letters(first) == _letters(second)


def _letters(words: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKD", words) if char.isalpha())


@lru_cache(64)
def plain_words(answer: str) -> str:
    """An answer without typesetting: case, quotes, articles and final marks do not count."""
    text = unicodedata.normalize("NFKC", answer)
    text = _TEXT_COMMAND.sub(" ", text)
    text = _MARKUP.sub(" ", text)
    text = _BLANKS.sub(" ", text).strip().casefold()
    text = _FINAL_MARKS.sub("", text)
    if len(text.split()) > 1:
        text = _ARTICLES.sub("", text)
    text = _BLANKS.sub(" ", text).strip()
    if text.startswith(("no ", "there ", "it has no ", "has no ")):
        text = _NO_SUCH.sub("none", _NO_SOLUTION.sub(lambda m: f"no {m[1] or ''}solution", text))
    return _SAME_MEANING.get(text, text)
