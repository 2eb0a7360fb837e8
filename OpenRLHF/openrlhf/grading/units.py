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


_define("length", 1, "m meter meters metre metres")
_define("length", _F(1, 10), "dm decimeter decimeters")
_define("length", _F(1, 100), "cm cms centimeter centimeters centimetre centimetres")
_define("length", _F(1, 1000), "mm millimeter millimeters millimetre millimetres")
_define("length", _F(1, 10**9), "nm nanometer nanometers")
_define("length", 1000, "km kms kilometer kilometers kilometre kilometres")
_define("length", _F(254, 10000), "in inch inches ''")
_define("length", _F(3048, 10000), "ft foot feet '")
_define("length", _F(9144, 10000), "yd yard yards")
_define("length", _F(1609344, 1000), "mi mile miles")
_define("mass", 1, "g gram grams gm gms")
_define("mass", _F(1, 1000), "mg milligram milligrams")
_define("mass", 1000, "kg kgs kilogram kilograms kilo kilos")
_define("mass", _F(45359237, 100000), "lb lbs pound pounds")
_define("mass", _F(45359237, 1600000), "oz ounce ounces")
_define("time", 1, "s sec secs second seconds")
_define("time", _F(1, 1000), "ms millisecond milliseconds")
_define("time", 60, "min mins minute minutes")
_define("time", 3600, "h hr hrs hour hours")
_define("time", 86400, "day days")
_define("time", 7 * 86400, "wk week weeks")
_define("month", 1, "month months")
_define("month", 12, "yr yrs year years")
_define("money", 1, "¢ cent cents")
_define("money", 100, "$ dollar dollars buck bucks usd")
_define("pounds sterling", 1, "£")
_define("euros", 1, "€ euro euros")
_define("angle", 1, "circ degree degrees deg degs")
_define("volume", 1, "l L liter liters litre litres")
_define("volume", _F(1, 1000), "ml mL milliliter milliliters millilitre millilitres")
_define("radians", 1, "rad rads radian radians")
_define("temperature", 1, "degf fahrenheit")
_define("temperature c", 1, "degc celsius")
_define("force", 1, "N newton newtons")
_define("energy", 1, "J joule joules")
_define("energy", 1000, "kJ kilojoule kilojoules")
_define("power", 1, "W watt watts")
_define("power", 1000, "kW kilowatt kilowatts")
_define("tension", 1, "V volt volts")
_define("current", 1, "A amp amps ampere amperes")
_define("resistance", 1, "ohm ohms")
_define("frequency", 1, "Hz hertz")
_define("pressure", 1, "Pa pascal pascals")
_define("amount", 1, "mol mole moles")
_define("kelvin", 1, "K kelvin kelvins")
_define("acres", 1, "acre acres")
_define("gallons", 1, "gal gallon gallons")
_define("gallons", _F(1, 4), "quart quarts qt")
_define("cups", 1, "cup cups")

_WHOLE = {
    "mph": "miles / hour",
    "kmh": "km / h",
    "kph": "km / h",
    "fps": "ft / s",
    "percent": "%",
    "sqft": "ft ^ 2",
}
_SQUARE = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
# Units of nothing in particular; their power counts ("square units"), unless it is one.
_GENERAL = frozenset(("unit", "units"))
GENERAL = "unit"
_TEMPERATURES = frozenset(("temperature", "temperature c", "kelvin"))
_PIECES = re.compile(r"[A-Za-z]+|[^\W\d_]+|[$£€¢%]|'+|\d+|\^|/|-|\*|[()]")
_MULTI_LETTER_NAMES = frozenset(name for name in _TABLE if len(name) > 1) | frozenset(_WHOLE) | _GENERAL


@dataclass(frozen=True)
class Unit:
    """`dimensions` maps what is measured to its power; `scale` converts to base units.

    known: every word was in the table; words that are not ("apples") are dimensions of their own.
    """

    dimensions: tuple[tuple[str, int], ...]
    scale: Fraction
    known: bool


def is_unit_word(word: str) -> bool:
    """Whether a single word or letter names a unit when it stands behind a number."""
    return word in _TABLE or word.lower() in _MULTI_LETTER_NAMES


def read_unit(text: str) -> Unit:
    r"""The unit that words like "square feet", "km / h", "cm ^ 2" or "apples" name."""
    pieces = _PIECES.findall(" ".join(_WHOLE.get(word.lower().strip("."), word) for word in text.split()))
    powers: dict[str, int] = {}
    scale = Fraction(1)
    known = True
    sign, pending = 1, 1
    index = 0
    while index < len(pieces):
        piece = pieces[index]
        index += 1
        lowered = piece.lower()
        if piece in ("/", "per") or lowered == "per":
            sign = -1
        elif lowered in _SQUARE and not lowered.endswith("ed"):
            pending = _SQUARE[lowered]
        elif piece in "^-*()" or piece.isdigit() or lowered in _SQUARE:
            continue
        else:
            power, index = _power(pieces, index, pending)
            pending = 1
            entry = _TABLE.get(piece) or _TABLE.get(lowered)
            known = known and (entry is not None or piece == "%" or lowered in _GENERAL)
            dimension, factor = entry or (_singular(lowered), Fraction(1))
            powers[dimension] = powers.get(dimension, 0) + sign * power
            scale *= factor ** (sign * power)
            sign = 1
    if powers.get(GENERAL) == 1:
        del powers[GENERAL]
    if powers.keys() & _TEMPERATURES:
        powers.pop("angle", None)
    dimensions = tuple(sorted((name, power) for name, power in powers.items() if power))
    return Unit(dimensions, scale, known)


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
