r"""Pairs of different answers made from gold answers: what a grader that looks too coarsely takes for equal.

Every pair differs by construction. Either one mark of the gold is changed where that changes its value (a digit, a
sign, an exponent), or both sides wrap the gold in the same way but for something that cannot vanish: a term beside
100!, a factor e^{-2024}, a step inside of a floor.
"""

import random
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

_DIGIT = re.compile(r"\d")
_EXPONENT = re.compile(r"(?<=[\w)}])\^(?:\{(\d+)\}|(\d))")
_TOP_SIGN = re.compile(r"(?<=[\w)}!]) ?([+-]) ?(?=[1-9])")
# In these a changed mark may leave the value: a period or a residue, a constant of integration, a product with zero,
# a power of one, two that make one fraction, numbers that only restate one, a code or a word.
_DELICATE = re.compile(
    r"_|\\pi.*[knm]|[knm].*\\pi|mod|C|\bc\b|(?<![\d.])0(?![\d.])|(?<![\d.}])1 ?\^|\(-1\) ?\^|\\approx|≈|=.*=|\\in|"
    r"R|text|mbox|rm\b|mathbf|\\boxed|or|and|[:;'\"!]|[^\x00-\x7f]|\\ldots|\\dots|\.\.\.|\\cdots|\\pm|\\cup|\|"
)
_SCALAR = re.compile(
    r"(?:\\(?:frac|dfrac|tfrac|sqrt|pi|cdot|left|right|times|ln|log|sin|cos|tan)(?![A-Za-z])|\d+(?:\.\d+)?|"
    r"(?<![A-Za-z\\])[abdmnpqrstuvwxyz](?![A-Za-z])|[-+^{}()\[\]/ ])+"
)
_VANISHES = re.compile(r"0(?:\.0*)?|\D*")
# A bracket behind a letter or a number may be an argument or an index.
_APPLIED = re.compile(r"[a-z](?:\\left)? ?\(|\[|\)\d")


class Perturbed(NamedTuple):
    kind: str
    prediction: str
    gold: str


def perturbed(gold: str) -> Iterator[Perturbed]:
    """The pairs made from one gold answer, always the same ones."""
    chance = random.Random(zlib.crc32(gold.encode()))
    if not _DELICATE.search(gold) and len(gold) < 300:
        yield from _marks(gold, chance)
    if _is_scalar(gold):
        for kind, (prediction, other) in _wrapped(gold, chance):
            if chance.random() < 0.5:
                prediction, other = other, prediction
            yield Perturbed(kind, prediction, other)


def _marks(gold: str, chance: random.Random) -> Iterator[Perturbed]:
    digits = list(_DIGIT.finditer(gold))
    for digit in chance.sample(digits, min(2, len(digits))):
        other = chance.choice([d for d in "123456789" if d != digit.group()])
        yield Perturbed("digit", gold[: digit.start()] + other + gold[digit.end() :], gold)
    for match in list(_EXPONENT.finditer(gold))[:2]:
        power = int(match[1] or match[2]) + chance.choice((1, 2, 10))
        yield Perturbed("exponent", f"{gold[: match.start()]}^{{{power}}}{gold[match.end() :]}", gold)
    for match in list(_TOP_SIGN.finditer(gold))[:1]:
        if _depth(gold[: match.start()]) == 0:
            turned = "-" if match[1] == "+" else "+"
            yield Perturbed("sign", gold[: match.start(1)] + turned + gold[match.end(1) :], gold)
    if _is_scalar(gold):
        yield Perturbed("sign", f"-({gold})", gold)


def _depth(text: str) -> int:
    return sum(text.count(char) for char in "({[") - sum(text.count(char) for char in ")}]")


def _is_scalar(gold: str) -> bool:
    """Whether a gold is a number or a function of its letters, and not zero, for all that can be seen."""
    plain = _SCALAR.fullmatch(gold) and not _APPLIED.search(gold) and _depth(gold) == 0
    return bool(plain) and not _VANISHES.fullmatch(gold) and len(gold) < 120


def _wrapped(gold: str, chance: random.Random) -> Iterator[tuple[str, tuple[str, str]]]:
    g = f"({gold})"
    large, power, modulus = chance.randint(50, 300), chance.randint(100, 2500), chance.randint(2, 2030)
    base, small = chance.choice((2, 3, 7, 10, 2025)), chance.randint(30, 900)
    yield "last term", (f"{g}+1", gold)
    yield "last term", (f"{gold}-\\frac{{1}}{{{base}}}", gold)
    yield "last term", (f"{gold}+10^{{-{small}}}", gold)
    yield "swallowed", (f"{large}!+{g}", f"{large}!-{g}")
    yield "swallowed", (f"{base}^{{{power}}}h+{g}", f"{base}^{{{power}}}h-{g}")
    yield "swallowed", (f"{g}(1-{base}^{{-{small}}})", gold)
    yield "swallowed", (f"{large}!\\sqrt{{2}}+{g}", f"{large}!\\sqrt{{2}}+{g}+1")
    yield "swallowed", (f"\\sqrt{{{base}^{{{small * 2}}}+1}}+{g}", f"{base}^{{{small}}}+{g}")
    yield "small", (f"{g}e^{{-{power}}}", f"{g}e^{{-{power + 1}}}")
    yield "small", (f"\\frac{{{gold}}}{{{base}^{{{power}}}}}", f"\\frac{{{gold}}}{{{base}^{{{power + 1}}}}}")
    yield "small", (f"\\frac{{{gold}}}{{\\pi^{{{small}}}}}", "0")
    yield "floor", (f"{g}+\\lfloor\\frac{{n}}{{{modulus}}}\\rfloor", f"{g}+\\lfloor\\frac{{n-1}}{{{modulus}}}\\rfloor")
    yield "floor", (f"{g}+\\lceil\\frac{{n}}{{{modulus}}}\\rceil", f"{g}+\\lfloor\\frac{{n}}{{{modulus}}}\\rfloor+1")
    yield "floor", (f"{g}\\lceil\\log_2 h\\rceil", f"{g}(\\lfloor\\log_2 h\\rfloor+1)")
    yield "floor", (f"{g}+\\lfloor\\sqrt{{n}}\\rfloor", f"{g}+\\lceil\\sqrt{{n}}\\rceil-1")
    yield "floor", (f"{g}+\\lfloor {large}!/{modulus}\\rfloor", f"{g}+\\lfloor {large}!/{modulus}+1\\rfloor")
    yield "factorial", (f"{g}\\cdot {large}!", f"{g}\\cdot {large + 1}!")
    yield "factorial", (f"{g}+n!", f"{g}+(n+1)!")
    yield "factorial", (f"{g}\\binom{{2n}}{{n}}", f"{g}\\binom{{2n}}{{n+1}}")
    yield "factorial", (f"{large}!+{g}", f"{large}!+{g}+{base}")
    yield "power", (f"{base}^{{{power}}}+{g}", f"{base}^{{{power}}}+{g}-1")
    yield "power", (f"{g}h^{{{power}}}", f"{g}h^{{{power + 1}}}")
    yield "power", (f"{g}+{base}^n", f"{g}+{base}^{{n+1}}")
    yield "power", (f"{g}\\sqrt{{h^{{{small}}}+1}}", f"{g}\\sqrt{{h^{{{small}}}-1}}")
    yield "corner", (f"{g}+|h-{modulus}|", f"{g}+{modulus}-h")
    yield "corner", (f"{g}+\\max(h,-{modulus})", f"{g}+h")
    yield "end", (f"(-\\infty, {gold}]", f"(-\\infty, {gold}+{base}^{{-{small}}}]")
