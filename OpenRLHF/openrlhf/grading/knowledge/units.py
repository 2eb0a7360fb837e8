"""Units of measurement: which words are units, and how many of one make another."""

import re
from dataclasses import dataclass
from fractions import Fraction

_F = Fraction
# name: (dimension, how many of the dimension's base unit). Names that share an entry mean the same.
_TABLE: dict[str, tuple[str, Fraction]] = {}


def _define(dimension: str, scale: Fraction | int, names: str) -> None:
    for name in names.split():
        _TABLE[name] = (dimension, Fraction(scale))


def _define_si(dimension: str, symbols: str, names: str, prefixes: str, scale: Fraction | int = 1) -> None:
    """A unit and its multiples; `prefixes` are those that are in use, in front of every symbol and every name."""
    for prefix in ("", *prefixes):
        word, factor = _PREFIXES[prefix]
        spelled = [prefix + symbol for symbol in symbols.split()]
        spelled += [word + name + ending for name in names.split() for ending in ("", "s")]
        _define(dimension, factor * scale, " ".join(spelled))


_PREFIXES = {
    "": ("", _F(1)), "k": ("kilo", _F(10**3)), "M": ("mega", _F(10**6)), "G": ("giga", _F(10**9)),
    "T": ("tera", _F(10**12)), "d": ("deci", _F(1, 10)), "c": ("centi", _F(1, 100)), "m": ("milli", _F(1, 10**3)),
    "u": ("micro", _F(1, 10**6)), "n": ("nano", _F(1, 10**9)),
}  # fmt: skip
_define_si("length", "m", "meter metre", "kdcmun")
_define_si("mass", "g", "gram", "kmu")
_define_si("time", "s", "second", "mun")
_define_si("volume", "l L", "liter litre", "kdcmu")
_define_si("force", "N", "newton", "k")
_define_si("energy", "J", "joule", "kMGTm")
_define_si("energy", "eV", "electronvolt", "kMG", _F(1602176634, 10**28))
_define_si("calories", "cal", "calorie", "k")
_define_si("power", "W", "watt", "kMGTm")
_define_si("tension", "V", "volt", "kmu")
_define_si("current", "A", "ampere amp", "mu")
_define_si("resistance", "ohm", "ohm", "kM")
_define_si("frequency", "Hz", "hertz", "kMG")
_define_si("pressure", "Pa", "pascal", "kM")
_define_si("amount", "mol", "mole", "m")
# The others: how many base units of the dimension, and the names, which all mean the same.
_OTHERS = {
    "length": "1/100 cms; 1000 kms; 1/1000000 micron microns; 1/10000000000 å angstrom angstroms ångström ångströms; "
    "254/10000 in inch inches ''; 3048/10000 ft foot feet '; 9144/10000 yd yard yards; 1609344/1000 mi mile miles",
    "mass": "1 gm gms; 1000 kgs kilo kilos; 1000000 tonne tonnes; 1/1000000 mcg; "
    "45359237/100000 lb lbs pound pounds; 45359237/1600000 oz ounce ounces",
    "time": "1 sec secs; 60 min mins minute minutes; 3600 h hr hrs hour hours; 86400 day days; 604800 wk week weeks",
    "month": "1 month months; 12 yr yrs year years",
    "money": "1 ¢ cent cents; 100 $ dollar dollars buck bucks usd",
    "pounds sterling": "1 £ gbp sterling",
    "yen": "1 ¥ yen jpy",
    "rupees": "1 ₹ rupee rupees inr",
    "euros": "1 € euro euros eur",
    "angle": "1 circ degree degrees deg degs; 1/60 arcmin arcminute arcminutes; 1/3600 arcsecs arcsecond arcseconds",
    "radians": "1 rad rads radian radians",
    "temperature": "1 degf fahrenheit",
    "temperature c": "1 degc celsius",
    "kelvin": "1 K kelvin kelvins",
    "volume": "1/1000 cc",
    "energy": "3600000 kWh; 1/10000000 erg ergs",
    "force": "1/100000 dyn dyne dynes",
    "resistance": "1000 kiloohm",
    "charge": "1 coulomb coulombs; 1/1000000 uC",
    "capacity": "1 farad farads; 1/1000000 uF",
    "magnetic field": "1 tesla teslas",
    "inductance": "1 henry henries; 1/1000 mH",
    # A pound on a square inch is one of force.
    "pressure": "101325 atm atmosphere atmospheres; 101325/760 torr mmHg; 44482216152605/6451600000 psi",
    "concentration": "1 molar",
    "area": "1 hectare hectares",
    "acres": "1 acre acres",
    "parts per million": "1 ppm",
    "decibels": "1 dB decibel decibels",
    "tablespoons": "1 tbsp tablespoon tablespoons; 1/3 tsp teaspoon teaspoons",
    "gallons": "1 gal gallon gallons; 1/4 quart quarts qt; 1/8 pint pints",
    "cups": "1 cup cups",
    "astronomical units": "1 AU",
    "parsecs": "1000 kpc; 1000000 Mpc",
    "atomic mass": "1 amu",
    "turns per minute": "1 rpm",
}
for _dimension, _entries in _OTHERS.items():
    for _entry in _entries.split("; "):
        _scale, _, _spellings = _entry.partition(" ")
        _define(_dimension, _F(_scale), _spellings)

# What derived units are made of: powers of other dimensions, and how many of their base units one is. (Masses are in
# grams.)
_DERIVED: dict[str, tuple[dict[str, int], Fraction]] = {
    "force": ({"mass": 1, "length": 1, "time": -2}, _F(1000)),
    "energy": ({"mass": 1, "length": 2, "time": -2}, _F(1000)),
    "power": ({"mass": 1, "length": 2, "time": -3}, _F(1000)),
    "pressure": ({"mass": 1, "length": -1, "time": -2}, _F(1000)),
    "volume": ({"length": 3}, _F(1, 1000)),
    "area": ({"length": 2}, _F(10_000)),
    "frequency": ({"time": -1}, _F(1)),
    "charge": ({"current": 1, "time": 1}, _F(1)),
    "tension": ({"mass": 1, "length": 2, "time": -3, "current": -1}, _F(1000)),
    "resistance": ({"mass": 1, "length": 2, "time": -3, "current": -2}, _F(1000)),
    "capacity": ({"mass": -1, "length": -2, "time": 4, "current": 2}, _F(1, 1000)),
    "magnetic field": ({"mass": 1, "time": -2, "current": -1}, _F(1000)),
    "inductance": ({"mass": 1, "length": 2, "time": -2, "current": -2}, _F(1000)),
    "concentration": ({"amount": 1, "length": -3}, _F(1000)),
}
_WHOLE = {
    "mph": "miles / hour",
    "kmh": "km / h",
    "kph": "km / h",
    "fps": "ft / s",
    "percent": "%",
    "percents": "%",
    "percentage": "%",
    "pct": "%",
    "sqft": "ft ^ 2",
}
_SQUARE = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
# Units of nothing in particular; their power counts ("square units"), unless it is one.
_GENERAL = frozenset(("unit", "units"))
GENERAL = "unit"
_TEMPERATURES = frozenset(("temperature", "temperature c", "kelvin"))
# Words beside a value that say which way it goes: of each line, at most one holds.
_WAYS = (
    ("increase increases increased increasing rise rises rising gain gains growth profit more higher up above",
     "decrease decreases decreased decreasing drop drops fall falls fell loss losses lost less fewer lower down below"),
    ("left", "right"), ("north", "south", "east", "west", "northeast", "northwest", "southeast", "southwest"),
    ("clockwise", "counterclockwise anticlockwise"), ("before earlier early", "after later late"),
    ("older", "younger"), ("faster", "slower"), ("taller longer", "shorter"),
    ("forward forwards", "backward backwards"),
    ("bc bce", "ad ce"), ("maximum max", "minimum min"), ("win wins", "lose loses"), ("deposit", "withdrawal"),
)  # fmt: skip
_WAY = {
    word: (line, place) for line, ways in enumerate(_WAYS) for place, words in enumerate(ways) for word in words.split()
}
_WORD = re.compile(r"[A-Za-z]+")
# coulomb, tesla, mol per litre, farad
_UPRIGHT_UNITS = {
    "C": ("charge", Fraction(1)), "T": ("magnetic field", Fraction(1)), "F": ("capacity", Fraction(1)),
    "M": ("concentration", Fraction(1)),
}  # fmt: skip
_PIECES = re.compile(r"[A-Za-z]+|[^\W\d_]+|[$£€¢¥₹%]|'+|\d+|\^|/|-|\*|[()]")
_MULTI_LETTER_NAMES = frozenset(name for name in _TABLE if len(name) > 1) | frozenset(_WHOLE) | _GENERAL


@dataclass(frozen=True)
class Unit:
    """`dimensions` maps what is measured to its power; `scale` converts to base units.

    known: every word was in the table; words that are not ("apples") are dimensions of their own.
    """

    dimensions: tuple[tuple[str, int], ...]
    scale: Fraction
    known: bool


def opposed(first: str, second: str) -> bool:
    """Whether the words beside two values say opposite things: 20% increase, 20% decrease."""
    mine, theirs = _ways(first), _ways(second)
    return any(mine[line] != theirs[line] for line in mine.keys() & theirs.keys())


def _ways(text: str) -> dict[int, int]:
    return dict(_WAY[word] for word in _WORD.findall(text.lower()) if word in _WAY)


def is_upright_unit(letter: str) -> bool:
    """Whether a single letter in upright type is a unit behind a number, where in italics it may be anything."""
    return letter in _UPRIGHT_UNITS


def is_unit_word(word: str) -> bool:
    """Whether a single word or letter names a unit when it stands behind a number."""
    return word in _TABLE or word.lower() in _MULTI_LETTER_NAMES


def read_unit(text: str) -> Unit:
    r"""The unit that words like "square feet", "km / h", "cm ^ 2" or "apples" name."""
    pieces = _PIECES.findall(" ".join(_WHOLE.get(word.lower().strip("."), word) for word in text.split()))
    powers: dict[str, int] = {}
    scale = Fraction(1)
    unknown: set[str] = set()
    sign, pending = 1, 1
    grouped = False
    index = 0
    while index < len(pieces):
        piece = pieces[index]
        index += 1
        lowered = piece.lower()
        if piece in ("/", "per") or lowered == "per":
            sign = -1
        elif piece == "(" and pieces[index - 2 : index - 1] == ["/"]:
            grouped = True
        elif piece == ")":
            grouped = False
        elif lowered in _SQUARE and not lowered.endswith("ed"):
            pending = _SQUARE[lowered]
        elif piece in "^-*()" or piece.isdigit() or lowered in _SQUARE:
            continue
        else:
            power, index = _power(pieces, index, pending)
            pending = 1
            entry = _TABLE.get(piece) or _UPRIGHT_UNITS.get(piece) or _TABLE.get(lowered)
            if entry is None and piece != "%" and lowered not in _GENERAL:
                unknown.add(_singular(lowered))
            dimension, factor = entry or (_singular(lowered), Fraction(1))
            made_of, size = _DERIVED.get(dimension, ({dimension: 1}, Fraction(1)))
            for base, height in made_of.items():
                powers[base] = powers.get(base, 0) + sign * power * height
            scale *= (factor * size) ** (sign * power)
            sign = sign if grouped else 1
    if powers.keys() - unknown - {GENERAL}:
        # Beside a measure, words say what is measured: litres of milk.
        powers = {name: power for name, power in powers.items() if name not in unknown}
        unknown = set()
    if powers.get(GENERAL) == 1:
        del powers[GENERAL]
    if powers.keys() & _TEMPERATURES:
        powers.pop("angle", None)
    dimensions = tuple(sorted((name, power) for name, power in powers.items() if power))
    return Unit(dimensions, scale, known=not unknown)


def _power(pieces: list[str], index: int, pending: int) -> tuple[int, int]:
    """The power behind a unit (^2, squared), and where the next piece is."""
    if index + 1 < len(pieces) and pieces[index] == "^" and pieces[index + 1].isdigit():
        return min(int(pieces[index + 1][:3]), 9), index + 2
    if index + 2 < len(pieces) and pieces[index] == "^" and pieces[index + 1] == "-" and pieces[index + 2].isdigit():
        return -min(int(pieces[index + 2][:3]), 9), index + 3
    if index < len(pieces) and pieces[index].lower() in ("squared", "cubed"):
        return _SQUARE[pieces[index].lower()], index + 1
    return pending, index


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
