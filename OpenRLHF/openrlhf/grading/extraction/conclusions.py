"""What a sentence says: the value at its end, or the one number or bold piece in it."""

import re
from itertools import pairwise

SENTENCE_END = re.compile(r"[.!?](?=\s|[*_\"')\]]*(?:\s|$))|[。．！？]|\n")
# "$5000 - $1800 = $3200" is money: dollar signs before a digit that do not close before another one.
MATH = re.compile(r"\$\$.*?\$\$|\\\[.*?\\\]|(?<!\\)\$(?!\d[^$]*\$\d)[^$]*\$|\\\(.*?\\\)", re.DOTALL)
NUMBER = re.compile(r"(?:(?<!\w)-)?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:/\d+)?%?")

# A response that is an answer and nothing else: a letter, a formula, a number with its unit, x = 5.
_NOTHING_ELSE = re.compile(
    rf"\*{{0,2}}(?:(?:[Oo]ption |[Cc]hoice )?\(?[A-E]\)?|\(?[A-E]\) [^\n]{{1,60}}|= ?{NUMBER.pattern}|{MATH.pattern}"
    rf"|(?:[a-z] ?= ?)?\$?{NUMBER.pattern}(?: ?[A-Za-z°]{{1,12}})?)\*{{0,2}}\.?"
)
_CONCLUDES = re.compile(
    r"^[\s\-*_#>✅]*(?:(?:and\s+)?(?:therefore|thus|hence|so|consequently|accordingly|in\s+(?:conclusion|total|summary)|"
    r"finally|altogether|overall|(?:this|that|which)\s+means(?:\s+that)?)\b|∴|\$?\\therefore\b\$?|(?:result|solution|conclusion|total|output)\s*[*_]*:|因此|所以|综上|故|答[:：]"
    r"|(?=(?:total|the)\b))[,，:：]?",
    re.IGNORECASE,
)
_CHOICE = re.compile(r"\s*(?:(?:[Oo]ption|[Cc]hoice)\s+)?(\([A-E]\))")
_WORD = re.compile(r"\w")
_PLEASANTRY = re.compile(r"^[\s*_]*(?:i\s+hope|let\s+me\s+know|please\s+let|thank|feel\s+free|note\b)", re.IGNORECASE)
_BE = re.compile(
    r"(?:\b(?:is|are|was|were|equals?|be|becomes?|gives?|as|get|have|obtain)\b|是|为|等于|(?<![<>=!])=)"
    r"(?:\s+(?:equal\s+to|given\s+by)\b)?"
)
_ADVERB = re.compile(
    r"^(?:(?:thus|therefore|then|hence|just|simply|exactly|that|to|us|left with|a total of|(?:our|an) answer of)\s+)+",
    re.IGNORECASE,
)
# 5 of "5 is the only solution".
_NAMED_BEHIND = re.compile(
    rf"(?:\W|\b(?:so|thus|hence|therefore|then)\b)*(?P<value>{MATH.pattern}|{NUMBER.pattern})\s+(?:is|are)\s+(?:the|our|all)\s+"
    r"(?:\w+\s+){0,3}(?:solutions?|answers?|results?|values?|numbers?|roots?)\b[^$\d]*",
    re.IGNORECASE | re.DOTALL,
)
_CHINESE_CLAUSE = re.compile(r"[，,]\s*(?=(?:所以|因此|故)[^，,]+$)")
_FINISHED = re.compile(rf"(?:{MATH.pattern}|\$?{NUMBER.pattern})(?:\s?[A-Za-z°%]+){{0,3}}", re.DOTALL)
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*")
# An answer that comes first, as the only bold value of its line, with its explanation announced behind it.
_ANSWERED_FIRST = re.compile(
    r"\s*(?P<first>[^\n]{1,300}[.!*])\s*\n[\s#*_]{0,9}(?:why|reason|reasoning|explanation|justification|because|proof"
    r"|here(?:['’]s| is) (?:why|how)|to see (?:why|this))\b",
    re.IGNORECASE,
)
_LEADING_NUMBER = re.compile(rf"(-?\$?{NUMBER.pattern})\s+(?:(?:[A-Za-z]+\s+){{3,}}[A-Za-z]+|of\s)")
_MOST_WORDS = 12
_WINDOW = 1500


def masked(text: str) -> str:
    """`text` with its mathematics crossed out, so that a full stop or a word in it means nothing."""
    return MATH.sub(lambda match: "x" * len(match.group()), text)


def last_conclusion(text: str) -> str | None:
    """The value that the last sentence concludes with ("So there are 12 ways."), or None.

    The sentence has to announce itself by a word like "therefore" or a bold value, and to be complete, or to end in
    the value at least.
    """
    if _NOTHING_ELSE.fullmatch(text.strip()):
        return text.strip().strip("*")
    sentence, complete = _last_sentence(text[-_WINDOW:])
    concluded = _concluded(sentence) if sentence else None
    if concluded and not complete and not (sentence.endswith(concluded) and _FINISHED.fullmatch(concluded)):
        concluded = None
    return concluded or _answered_first(text)


def _concluded(sentence: str) -> str | None:
    sentence = _CHINESE_CLAUSE.split(sentence)[-1]
    bold = _bold_pieces(sentence)
    announced = _CONCLUDES.match(sentence)
    if len(bold) == 1 and (announced or NUMBER.search(bold[0])):
        return bold[0]
    if announced and (choice := _CHOICE.fullmatch(sentence, announced.end())):
        return choice[1]
    if not announced:
        return None
    said = sentence[announced.end() :]
    if (value := stated_value(said)) is None and "答" in announced.group() and (numbers := NUMBER.findall(said)):
        return numbers[-1]  # 答：…, the answer in a sentence, whose end is the value
    return value


def _answered_first(text: str) -> str | None:
    """14 of "They need **14 tents**.\\n\\nReasoning: …"."""
    match = _ANSWERED_FIRST.match(text)
    bold = _bold_pieces(match["first"]) if match else []
    return bold[0] if len(bold) == 1 and NUMBER.search(bold[0]) else None


def _bold_pieces(text: str) -> list[str]:
    return [piece.strip() for piece in _BOLD.findall(text) if not piece.rstrip().endswith(":")]


def stated_value(sentence: str) -> str | None:
    """What a sentence says that something is: the end of "the largest n is 34", or its only number."""
    sentence = sentence.strip().strip("*_").strip()
    plain = masked(sentence)
    if named := _NAMED_BEHIND.fullmatch(sentence):
        return named["value"]
    formulas = MATH.findall(sentence)
    if formulas and plain.strip(" x,") == "":
        return formulas[-1]
    if verbs := list(_BE.finditer(plain)):
        value = _ADVERB.sub("", sentence[verbs[-1].end() :].strip(" :*_,"))
        if leading := _LEADING_NUMBER.match(value):
            return leading.group(1)
        if value and len(value.split()) <= _MOST_WORDS:
            return value
    if len(formulas) == 1 and not NUMBER.search(plain):
        return formulas[0]
    numbers = NUMBER.findall(plain)
    return numbers[0] if len(numbers) == 1 and not formulas else None


def _last_sentence(text: str) -> tuple[str, bool]:
    """The last sentence that is no pleasantry, with the formula that it leads to, and whether it is complete."""
    plain = masked(text)
    ends = [0, *(match.end() for match in SENTENCE_END.finditer(plain)), len(plain)]
    pieces = [(start, end) for start, end in pairwise(ends) if plain[start:end].strip()]
    # What is left of Markdown behind the full stop, an emoji, and thanks say nothing.
    while pieces and (_PLEASANTRY.match(plain[slice(*pieces[-1])]) or not _WORD.search(plain[slice(*pieces[-1])])):
        pieces.pop()
    if not pieces:
        return "", False
    start, end = pieces[-1]
    if len(pieces) > 1 and not plain[start:end].strip("x \n.,"):
        start = pieces[-2][0]
    sentence = text[start:end].strip()
    complete = sentence.endswith((".", "!", "。", "$", "\\]", "\\)", "*")) or end < len(text.rstrip())
    return sentence.rstrip(".!。 "), complete
