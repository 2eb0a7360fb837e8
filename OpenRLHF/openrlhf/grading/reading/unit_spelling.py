"""Spellings of units that the grammar has no place for, written as it has them."""

import re

from openrlhf.grading.knowledge.units import is_unit_word, is_upright_unit

_FEET = re.compile(r"(?<=\d) ?' ?(\d+(?:\.\d+)?) ?(?:''|\"|\\text\{'' ?\})")
_SECONDS = re.compile(r"(?<=\d) ?\"")
_ABBREVIATED = re.compile(r"(?<=\d) ?(ft|in|yd|mi|lb|lbs|oz|hr|hrs|min|sec|cm|mm|km|kg|gal|pt|qt)\.(?= |$)")
_CURRENCY_CODE = re.compile(r"^(-?) ?(?:(USD|US ?\\?\$|dollars?)|(EUR|euros?)|(GBP)|(JPY)|(INR)) ?(?=[-\d])")
_LETTER_TIMES = re.compile(r"(?<=\d) ?[xX] ?10 ?\^")
_HOURS = re.compile(r"(\d) ?h ?(\d+) ?m(?:in)?(?![A-Za-z])")
_UNIT_AND = re.compile(r"\b(hours?|hrs?|minutes?|days?|weeks?|years?|feet|foot|ft|dollars?) and ?(\} ?)?(?=\d)")
# 10 feet, 4 inches is one length; 10 feet, 4 feet are two.
_UNIT_COMMA = re.compile(
    r"(\b(?:feet|foot|ft|hours?|hrs?|pounds?|lbs?) ?\}?), ?"
    r"(?=\d+ ?(?:\\text ?\{ ?|\\mathrm ?\{ ?)?(?:inch(?:es)?|in|minutes?|mins?|ounces?|oz)\b)"
)
# 31 (litres of milk), 10 N: what is measured, in brackets or as one letter.
_MEASURED = re.compile(r"(?<=[\d}]) ?\((?!(?:sin|cos|tan|log|exp|sqrt|mod|base)\b)([A-Za-z]{3,}[A-Za-z .'-]*)\)$")
_LETTER_UNIT = re.compile(r"^(-?\d[\d.,]*(?= [mgshL])|(?:[^=]{1,20}= ?)?-?\d[\d.,]*(?= [NJKWVAM])) ([a-zA-Z])$")
_LETTER_BEHIND_POWER = re.compile(r"(\\(?:times|cdot) ?10 ?\^ ?(?:\{ ?-?\d+ ?\}|-?\d+)) ([mgshLNJKWVACTFM])$")
_MICRO = re.compile(r"(?<=[\d}]) ?\\mu ?(?:\\(?:mathrm|text) ?)?\{? ?([msgLFCAV]) ?\}?$")
_OHM = re.compile(r"(?<=[\d}]) ?(k|M|\\mathrm ?\{ ?[kM] ?\})? ?\\Omega$")
_ANGSTROM = re.compile(r"\\(?:AA(?![A-Za-z])|mathring ?\{ ?(?:\\mathrm ?\{ ?A ?\}|A) ?\})(?: ?\{ ?\})?")
# 45° 30' 20'': minutes and seconds of arc.
_ARC = re.compile(
    r"(?<=\d) ?(?:\^ ?(?:\\circ|\{ ?\\circ ?\})|deg(?:rees?)?\b),? ?(?:and )?"
    r"(?P<minutes>\d+(?:\.\d+)?) ?(?:'(?!')|arc ?min(?:ute)?s?\b|minutes?\b)"
    r"(?:,? ?(?:and )?(?P<seconds>\d+(?:\.\d+)?) ?(?:''|\"|arc ?sec(?:ond)?s?\b|seconds?\b))?"
)
_ARC_SECONDS = re.compile(r"(?<=\d) ?\^ ?(?:\\circ|\{ ?\\circ ?\}) ?(?P<seconds>\d+(?:\.\d+)?) ?(?:''|\")")
# 10 N/m, 9.8 m s^{-2}, 4.18 J/(g K): a number, a space, and units alone.
_UNIT = r"(?:\^ ?\\circ ?C|[A-Za-z]+)(?: ?\^ ?(?:\{ ?-? ?\d ?\}|-?\d))?"
_COMPOUND = re.compile(
    rf"^(-?\d[\d.,]*(?: ?(?:\\times|\\cdot) ?10 ?\^ ?(?:\{{ ?-?\d+ ?\}}|-?\d+))?) "
    rf"({_UNIT}(?:(?: ?[/*] ?| ?\\cdot ?| )\(?{_UNIT}\)?)+)$"
)
_DIVIDED = re.compile(r"/ ?\(([^()]*)\)")
_RUNS = re.compile(r"[A-Za-z]+")
_MOLAR = re.compile(r"(?<=[\d}]) ?\\(?:text|mathrm) ?\{ ?M ?\}")
_SQUARE = re.compile(r"(?<=\d )(?:(sq)|cu)\.? (?=[a-z])")
_UPRIGHT = r"\{ ?\\(?:text|mathrm) ?\{([^{}]*)\} ?\}"
_UNIT_FRACTION = re.compile(rf"\\frac ?{_UPRIGHT} ?{_UPRIGHT}")


def with_plain_units(text: str) -> str:
    """A tidied answer with its units in the spelling that `parser` reads: 5'6" as 5 ft 6 in, 9.8 m/s^2 as one unit."""
    if not text[-1:].isdigit():
        text = _ANGSTROM.sub("Å", text)
    # Behind degrees, the marks of feet and inches are minutes and seconds of arc.
    if "circ" in text or "deg" in text:
        text = _ARC_SECONDS.sub(r" \\text{degrees} \g<seconds> \\text{arcseconds}", _ARC.sub(_arc, text))
    text = _SECONDS.sub("''", text) if "circ" in text else _FEET.sub(r" ft \1 in", text)
    text = _ABBREVIATED.sub(r" \1", text)
    text = _CURRENCY_CODE.sub(lambda m: m[1] + ("\\$", "€", "£", "¥", "₹")[(m.lastindex or 2) - 2], text)
    text = _LETTER_TIMES.sub(r"\\times 10^", text)
    text = _UNIT_AND.sub(r"\1 \2", _HOURS.sub(r"\1 hours \2 minutes", text))
    text = _MICRO.sub(r" \\text{u\1}", _LETTER_BEHIND_POWER.sub(r"\1 \\text{\2}", text))
    text = _OHM.sub(lambda m: r" \text{" + re.sub(r"\W|mathrm", "", m[1] or "") + "ohm}", text)
    text = _LETTER_UNIT.sub(r"\1 \\text{\2}", _MEASURED.sub(r" \\text{\1}", text))
    text = _MOLAR.sub(r" \\text{mol/L}", _COMPOUND.sub(_compound, text))
    text = _SQUARE.sub(lambda m: "square " if m[1] else "cubic ", text)
    text = _UNIT_COMMA.sub(r"\1 ", text)
    return _UNIT_FRACTION.sub(r"\\text{\1/\2}", text)


def _compound(match: re.Match[str]) -> str:
    r"""9.8 \\text{m * s^-2}; anything else than known units as it is."""
    units = re.sub(r"\^ ?\\circ ?C", "degc", match[2]).replace("\\cdot", "*")
    units = _DIVIDED.sub(lambda m: "/" + re.sub(r"[ *]+", "/", m[1].strip()), units)
    known = all(is_unit_word(run) or is_upright_unit(run) for run in _RUNS.findall(units))
    if not known or not any(mark in units for mark in "/*-"):
        return match.group()
    return rf"{match[1]} \text{{{re.sub(r'[{}]', '', units)}}}"


def _arc(match: re.Match[str]) -> str:
    seconds = rf" {match['seconds']} \text{{arcseconds}}" if match["seconds"] else ""
    return rf" \text{{degrees}} {match['minutes']} \text{{arcminutes}}{seconds}"
