r"""Finds the answer that a response names, in one order for every benchmark, which docs/grading.md describes.

Only the response is read, from behind its reasoning block and up to its first end-of-turn marker or next question.
"""

import re

from openrlhf.grading.extraction.boxes import Box, closing_brace, find_boxes
from openrlhf.grading.extraction.conclusions import NUMBER, SENTENCE_END, last_conclusion, masked, stated_value
from openrlhf.grading.policy import GradingPolicy

_END_OF_TURN = re.compile(r"<\|(?:im_end|endoftext|eot_id|end_of_text|end)\|>|</s>")
_BOX_COMMAND = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])")
_BE = r"(?:\s+(?:is|are|was|were|equals|would\s+be|will\s+be|should\s+be|must\s+be|comes\s+to)\b|\s*=)"
_EMPHASIS = r"[*_\s]*"
_PHRASE = re.compile(
    rf"""
    (?:
        \b(?:answers?|ans\b|correct\s+(?:option|choice|letter)|(?:option|choice)\s+that\s+is\s+correct
           |final\s+(?:result|value|solution))\b
        (?:\s*\([^()\n]{{0,40}}\))?
        (?:\s+(?:to|for|of|in)\s[^.:\n$\\]{{1,80}}?)?
        (?:{_BE}{_EMPHASIS}:?|{_EMPHASIS}:{_EMPHASIS})
      | \bans\.(?=\s)
      | (?:^|\n)[\s#*_>]{{0,20}}(?:the\s+)?(?:final\s+)?answers?[ \t*_:]*\n
      | \#{{4}}(?!\#)
      | (?:^|\n)[\s#*_>]{{0,20}}(?:final\s+)?answer[*_]{{0,3}}[ \t]+(?=\$|\\|[A-Za-z][ ]?=|-?\d)
      | <answer>
      | \b(?:respuesta|réponse|antwort|risposta|resposta|ответ)(?:\s+(?:finale?|correcta))?{_EMPHASIS}[:：]{_EMPHASIS}
      | 正确(?:选项|答案)(?:是|为)?[:：]?
      | [【\[](?:答案|(?:final\s)?answer)[】\]][:：]?
      | 答案(?:是|为|[:：])[:：]?
      | (?:故选|应选|选择|故答案为|选(?=\s*[:：]?\s*[(（]?[A-E]))[:：]?
    )
    {_EMPHASIS}
    """,
    re.IGNORECASE | re.VERBOSE,
)
# "7 is the answer", "option (A) is correct".
_REVERSED = re.compile(
    r"(?P<value>\$[^$\n]{1,80}\$|\\\([^\n]{1,80}?\\\)|\*\*[^*\n]{1,80}\*\*|\(?[A-E]\)?(?![A-Za-z])|(?<![\d.,/])-?\d[\d.,/]{0,60})"
    r"\s+is\s+(?:(?:the|our)\s+)?(?:(?:correct|final|right|required|desired)\s+)?(?:answer|option|choice|correct)\b"
)
# A base model that goes on after its answer invents the next question.
_NEXT_QUESTION = re.compile(
    r"\n[\s*#>]{0,9}(?:(?:Q|Question|Problem|Exercise|Example|Instruction|Human|User|问题|题目)[ \d*_]{0,9}[:：]"
    r"|(?:Question|Problem|Exercise) ?\d{1,3}[.)]?\*{0,2}(?=\s*\n| [A-Z]))"
)
_FINAL_LINE = re.compile(
    r"\n[\s*#]{0,9}final answer[\s*]{0,9}[:：][\s*]{0,9}(?P<value>[-$\d(\\][^\n]{0,80})\s*$", re.IGNORECASE
)
# "Final Answer: The final answer is 11. I hope it is correct.", and its like in Chinese.
_FINAL_SENTENCE = re.compile(
    r"final\s+answer[\s*]{0,9}[:：][\s*]{0,9}the\s+(?:final\s+)?answer\s+is:?\s*"
    r"|最终(?:结果|答案)(?:为|是|[:：])\s*|(?:所以|因此|故)[，,]?\s*(?:答案|结果)(?:为|是|[:：])\s*",
    re.IGNORECASE,
)
_CHINESE_END = re.compile(r"(?:^|[。，\n])\s*(?:所以|因此)[，,]?\s*(?P<said>[^。\n]{1,80}?)[。.]?\s*$")
_BOX_TOKENS = (("<|begin_of_box|>", "\\boxed{"), ("<|end_of_box|>", "}"))
# What a value comes to, in a second box.
_COMES_TO = re.compile(
    r"[\s$\\()\[\],;]{0,9}(?:\\approx|≈|\\simeq|(?:(?:or|which\s+is)\s+)?(?:approximately|about|roughly|approx\.?))[\s$\\()\[\]:]{0,9}",
    re.IGNORECASE,
)
# A sentence that leads to a formula on lines of its own.
_LEADS_TO = re.compile(
    r"[^\n$\\]{0,150}\b(?:is|are|be|equals|by|as|to|follows)\b\s?:?\s*\n\s*(?P<formula>\$\$[^$]{1,500}\$\$|\\\[.{1,500}?\\\])",
    re.DOTALL,
)
_JSON = re.compile(r"\"(?:final[ _])?answer\"\s*:\s*(?:\"([^\"\n]{1,200})\"|(-?\d[\d.]*))")
_HEDGED = re.compile(r"^not\s[^.]{1,60}?,?\sbut\s(?:rather\s)?")
_BOLD_LETTER = re.compile(r"\(?([A-J])\)?\*\*(?=\s*(?:[(.\n]|$))")
_LEAD_IN = re.compile(
    r"^(?:[\s*_:：}]|(?:for\s+sure|definitely|certainly|surely|obviously|undoubtedly|most\s+likely|probably|that|therefore|thus|hence|then|simply|just|indeed|clearly|given\s+by|equal\s+to)\b,?|=|-{3,})+",
    re.IGNORECASE,
)
# Equations on lines of their own, with bullets.
_ITEMS = re.compile(r"\s*(?:[-*•] +[$(\\]{0,2}[A-Za-z][^\n=]{0,20}=[^\n=]{1,80}(?:\n|$)){2,}")
_AFTERTHOUGHT = re.compile(
    r"(?:,|\s)\s*\(?(?:because|since|as\s+(?:required|desired|we)|which|so\s+that|where\s+we|i\.e\.)(?![A-Za-z])"
    r"|(?<=\S)\s+so\s+|,\s*(?:and\s+)?not\s|,\s*(?:and\s+)?it\s+(?:can|is|could|must)(?:no|n['’]|['’])?t\s|\s+and\s+not\s|\s+by\s+\d{1,2}(?::\d\d)?\s*[ap]\.?m\b|\s+and\s+(?:we|this|so|hence|thus)\s|[,，]\s*(?:因为|由于|所以|故)|</answer>",
    re.IGNORECASE,
)
# An answer that is a sentence: "The largest n is 34", "Jane started 3 hours ago".
_SENTENCE = re.compile(r"(?:[A-Z][a-z]+|there|the|we|it)\s+(?:\S+\s+){2,}\S")
_LETTER = re.compile(r"(?<![A-Za-z\\'])\(?([A-E])\)?(?![A-Za-z'])")
# Words between two boxes that make the second one replace the first.
_RESTATES = re.compile(
    r"\b(?:so|thus|therefore|hence|simplif\w*|which|equals?|equivalent|i\.e|that\s+is|gives?|becomes?|instead|not|"
    r"but|wait|actually|then|answer)\b|\\approx|≈|\\implies|\\Rightarrow|⇒|[+*/<>]|\\(?:cdot|times|div)\b",
    re.IGNORECASE,
)
# Boxes on lines of their own are one answer where nothing but a conjunction stands between them.
_ONLY_JOINS = re.compile(
    r"(?:[\s$,;.]|\\[\[\]()]){0,20}(?:\b(?:and|or)\b|\\text\{ *(?:and|or) *\})(?:[\s$]|\\[\[\]()]){0,20}"
)
# Two lines of an aligned system: x &= 3 \\ y &= 4.
_NEXT_LINE = re.compile(r"\s*\\\\\s*[A-Za-z](?:_\{?\w+\}?)?\s*&?\s*=\s*&?\s*")
_NAMED = re.compile(r"[A-Za-z](?:_\{?\w+\}?|\([a-z]\))?\s*=\s*[$\s]*$")
_OR = re.compile(r"\bor\b")
# A lone dollar sign is a currency where a plain amount follows, otherwise mathematics that was cut off.
_AMOUNT = re.compile(r"(?:[^$\\]* )?-?\$ ?-?\d[\d,]*(?:\.\d+)?(?:/[A-Za-z]+| [A-Za-z][A-Za-z ]*)?")
_MONEY = re.compile(r"(?<!\\)\$-?\d[\d,]*(?:\.\d+)?(?= *(?:[-+*/=×÷,;).]|[A-Za-z]|$))")
_DEEPEST_BOX = 3
_PHRASE_WINDOW = 20_000
_LAST_WORDS = 200


def extract_answer(response: str, policy: GradingPolicy | None = None) -> str | None:
    """The answer that `response` names, as it stands there, or None.

    response: what the model wrote, without the prompt. policy: see `GradingPolicy`; the default when None.
    """
    policy = policy or GradingPolicy()
    text = _final_part(response)
    tail = text[-_PHRASE_WINDOW:]
    boxed = _boxed_answer(text)
    if boxed is not None:
        return _last_word(tail) or boxed
    if phrases := list(_PHRASE.finditer(tail)):
        announced = _announced_answer(tail, phrases, policy)
        if announced is not None:
            return announced
    if policy.answer_kind == "choice" and (letters := _LETTER.findall(tail)):
        return letters[-1]
    if json := _JSON.search(tail):
        return json.group(1) or json.group(2)
    if not phrases and (reversed_ := list(_REVERSED.finditer(tail))):
        return reversed_[-1].group("value").strip("*")
    if not phrases and (concluded := _concluded_answer(tail, policy)):
        return concluded
    if policy.last_number and (numbers := NUMBER.findall(tail)):
        return numbers[-1]
    return None


def _final_part(response: str) -> str:
    """The response without its reasoning block and without what follows its end."""
    for token, command in _BOX_TOKENS:
        response = response.replace(token, command)
    if end := _END_OF_TURN.search(response):
        response = response[: end.start()]
    _, closed, after = response.rpartition("</think>")
    if "<think>" in after:
        # A thought that never ends has an answer only where it breaks off right behind it.
        return after.rpartition("<think>")[2][-_LAST_WORDS:]
    return _first_turn(after if closed and after.strip() else response)


def _first_turn(text: str) -> str:
    """The text up to the next question that follows an answer."""
    if len(text) > _PHRASE_WINDOW or not _NEXT_QUESTION.search(text):
        return text
    answers = [box.end for box in find_boxes(text)[:1]] + [match.end() for match in _PHRASE.finditer(text)][:1]
    following = _NEXT_QUESTION.search(text, min(answers)) if answers else None
    return text[: following.start()] if following else text


def _boxed_answer(text: str) -> str | None:
    boxes = [box for box in find_boxes(text) if box.content]
    if not boxes:
        return None
    while len(boxes) > 1 and _COMES_TO.fullmatch(text, boxes[-2].end, boxes[-1].start):
        boxes.pop()
    together = [boxes[-1]]
    for earlier in reversed(boxes[:-1]):
        if not _stand_together(text, earlier, together[0]):
            break
        together.insert(0, earlier)
    contents = list(dict.fromkeys(_unwrap(_unescaped(text, box)) for box in together))
    between = text[together[0].end : together[-1].start]
    return (" or " if _OR.search(between) else ", ").join(contents)


def _last_word(text: str) -> str | None:
    """A value that is said to be the final one behind the last box, which corrects it."""
    boxes = list(_BOX_COMMAND.finditer(text))
    start = boxes[-1].end() if boxes else 0
    if lines := list(_FINAL_LINE.finditer(text, start)):
        candidate = lines[-1].group("value").strip().rstrip(".* ")
        return candidate if _balanced(candidate) else None
    if sentences := list(_FINAL_SENTENCE.finditer(text, start)):
        candidate = _until_sentence_end(text[sentences[-1].end() :])
        return candidate if candidate and _balanced(candidate) else None
    if (ending := _CHINESE_END.search(text, start)) and (value := stated_value(ending["said"])):
        return value if NUMBER.fullmatch(value) or value.startswith(("$", "\\(")) else None
    return None


def _unescaped(text: str, box: Box) -> str:
    r"""The content of a box; of \\boxed{\\frac12}, which somebody has escaped, with its backslashes halved."""
    before = text[max(box.start - 9, 0) : box.start]
    escaped = (len(before) - len(before.rstrip("\\"))) % 2 == 1
    return box.content.replace("\\\\", "\\") if escaped else box.content


def _unwrap(content: str) -> str:
    r"""The inside of \boxed{\boxed{5}}; deeper nesting is left as it is, since it is no answer."""
    for _ in range(_DEEPEST_BOX):
        inner = find_boxes(content) if _BOX_COMMAND.match(content) else []
        if len(inner) != 1 or (inner[0].start, inner[0].end) != (0, len(content)) or not inner[0].content:
            break
        content = inner[0].content
    return content


def _stand_together(text: str, first: Box, second: Box) -> bool:
    """Whether two neighbouring boxes are parts of one answer: one sentence, and nothing is restated."""
    between = text[first.end : second.start]
    if _ONLY_JOINS.fullmatch(between) or _NEXT_LINE.fullmatch(between):
        return True
    if len(between) > 200 or SENTENCE_END.search(between.strip(" ")) or "\\\\" in between:
        return False
    if _RESTATES.search(between):
        return False
    return "=" not in _NAMED.sub("", between)


def _concluded_answer(text: str, policy: GradingPolicy) -> str | None:
    concluded = last_conclusion(text)
    if concluded is None or _BOX_COMMAND.search(concluded) or not _balanced(concluded):
        return None
    if policy.answer_kind == "number":
        number = NUMBER.search(concluded)
        return number.group() if number else None
    return concluded


def _announced_answer(text: str, phrases: list[re.Match[str]], policy: GradingPolicy) -> str | None:
    for match in reversed(phrases):
        if lead := _LEADS_TO.match(text, match.end()):
            return lead["formula"]
        candidate = _HEDGED.sub("", _until_sentence_end(text[match.end() :])).replace("**", "")
        if letter := _BOLD_LETTER.match(text, match.end()):
            return letter.group(1)
        if _BOX_COMMAND.search(candidate) or not _balanced(candidate):
            return None
        if policy.answer_kind == "number" and (number := NUMBER.search(candidate)):
            return number.group()
        if policy.answer_kind == "choice" and (letter := _LETTER.search(candidate)):
            return letter.group(1)
        if _SENTENCE.match(candidate) and (value := stated_value(candidate)):
            return value
        if candidate:
            return candidate
    return None


def _until_sentence_end(text: str) -> str:
    """The sentence that `text` starts with; a full stop inside of mathematics ends nothing."""
    text = text[:4000]
    if items := _ITEMS.match(text):
        return ", ".join(line.strip(" -*•") for line in items.group().split("\n") if line.strip())
    text = _LEAD_IN.sub("", text)
    plain = masked(text)
    ends = [m.start() for m in (SENTENCE_END.search(plain), _AFTERTHOUGHT.search(plain)) if m]
    candidate = text[: min(ends)] if ends else text
    return candidate.strip().strip("*_").rstrip(".。,; ").strip()


def _balanced(text: str) -> bool:
    opening = text.find("{")
    while opening != -1:
        if opening > 0 and text[opening - 1] == "\\":
            opening = text.find("{", opening + 1)
            continue
        end = closing_brace(text, opening)
        if end is None:
            return False
        opening = text.find("{", end)
    dollars = text.replace("\\$", "").count("$")
    if dollars % 2 == 0 or (dollars == 1 and _AMOUNT.fullmatch(text)):
        return True
    # "$5000 - $1800 = $3200" is money from the first sign to the last.
    return dollars > 1 and dollars == len(_MONEY.findall(text))
