"""The last resort: computer algebra, for what `parser` does not read (integrals, sums, limits, derivatives).

Runs in a worker of its own that can be killed; may take arbitrarily long.
"""

import sympy
from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig

from openrlhf.grading.policy import GradingPolicy
from openrlhf.grading.text import tidy

_CONVERSION = ConversionConfig(lowercase_symbols=False)
_LONGEST = 400


def compare(prediction: str, gold: str, policy: GradingPolicy) -> tuple[bool, str]:
    """(equal, how) by SymPy; "unreadable" where it cannot read one of the two either."""
    mine, theirs = _read(prediction), _read(gold)
    if mine is None or theirs is None:
        return False, "unreadable"
    if mine == theirs:
        return True, "symbolic"
    if not isinstance(mine, sympy.Expr) or not isinstance(theirs, sympy.Expr):
        return False, "symbolic"
    difference = (mine - theirs).doit()
    if difference.is_zero is not None:
        return bool(difference.is_zero), "symbolic"
    return sympy.simplify(difference) == 0, "symbolic"


def _read(answer: str) -> sympy.Basic | None:
    text = tidy(answer)
    if len(text) > _LONGEST:
        return None
    try:
        parsed = latex2sympy(text, conversion_config=_CONVERSION)
    except Exception:  # its parser raises bare Exception for anything it cannot read
        return None
    return parsed if isinstance(parsed, sympy.Basic) else None
