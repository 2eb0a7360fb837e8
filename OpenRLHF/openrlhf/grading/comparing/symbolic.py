"""The last resort: computer algebra, for what `parser` does not read (integrals, sums, products, limits).

Runs in a worker of its own that can be killed; may take arbitrarily long.
"""

import re

import sympy
from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig

from openrlhf.grading.policy import GradingPolicy
from openrlhf.grading.reading.text import tidy

_CONVERSION = ConversionConfig(lowercase_symbols=False)
_DIGITS = 25
_AGREEMENT = sympy.Float(10) ** -18
_POINTS = (sympy.Rational(3, 7), sympy.Rational(5, 8), sympy.Rational(2, 9))
_WHOLE_POINTS = (sympy.Integer(3), sympy.Integer(5), sympy.Integer(8))
_BARE_FRACTION = re.compile(r"\\frac ?(\d|\{[^{}]*\}) ?(\d|\{[^{}]*\})")


def compare(prediction: str, gold: str, policy: GradingPolicy) -> tuple[bool, str]:
    """(equal, how) by SymPy; "unreadable" where it cannot read one of the two either."""
    unescape = policy.escapes == "undone"
    mine, theirs = _read(prediction, unescape), _read(gold, unescape)
    if mine is None or theirs is None:
        return False, "unreadable"
    # As dummies, the index of a sum has no name.
    if _ordered(mine.as_dummy()) == _ordered(theirs.as_dummy()):
        return True, "symbolic"
    if not isinstance(mine, sympy.Expr) or not isinstance(theirs, sympy.Expr):
        return False, "symbolic"
    difference = mine - theirs
    symbols = sorted(difference.free_symbols, key=str)
    if not symbols:
        return _vanishes(difference.doit(), mine, theirs), "symbolic"
    # Each point shifts every symbol by something else, so that none of them are equal.
    counts = _bounds(difference)
    for point, whole in zip(_POINTS, _WHOLE_POINTS, strict=True):
        values = {
            symbol: whole + place if symbol in counts else point + sympy.Rational(place, 31)
            for place, symbol in enumerate(symbols)
        }
        if not _vanishes(difference.subs(values).doit(), mine.subs(values), theirs.subs(values)):
            return False, "symbolic"
    return True, "symbolic"


def _bounds(expression: sympy.Expr) -> set[sympy.Basic]:
    """The symbols that bound the indices of sums and products, which have to be whole numbers."""
    limits = [limit for part in expression.atoms(sympy.Sum, sympy.Product) for limit in part.limits]
    return {symbol for limit in limits for bound in limit[1:] for symbol in bound.free_symbols}


def _ordered(expression: sympy.Basic) -> sympy.Basic:
    """Factors and terms in SymPy's own order; the converter leaves them as they were written."""
    return sympy.core.traversal.bottom_up(expression, lambda part: part.func(*part.args) if part.args else part)


def _vanishes(difference: sympy.Expr, mine: sympy.Expr, theirs: sympy.Expr) -> bool:
    """Whether a difference is zero, measured by the sides where these are small themselves."""
    if difference.is_zero is not None:
        return bool(difference.is_zero)
    value = difference.evalf(_DIGITS)
    if not value.is_number or not abs(value) < _AGREEMENT:
        return False
    sizes = [abs(side.doit().evalf(_DIGITS)) for side in (mine, theirs)]
    return all(size.is_number for size in sizes) and bool(abs(value) <= _AGREEMENT * min(1, max(sizes)))


def _read(answer: str, unescape: bool) -> sympy.Basic | None:
    try:
        text = _BARE_FRACTION.sub(
            lambda m: rf"\frac{{{m[1].strip('{}')}}}{{{m[2].strip('{}')}}}", tidy(answer, unescape)
        )
        parsed = latex2sympy(text, conversion_config=_CONVERSION)
    except Exception:  # its parser raises bare Exception for anything it cannot read
        return None
    return parsed if isinstance(parsed, sympy.Basic) else None
