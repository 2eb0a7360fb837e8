"""Values of expressions: exact rationals where possible, else many digits, at sample points for variables.

How many digits follows from the expression: a term that is 10^150 times smaller than its neighbour has to show in the
sum, and so have the last digit of a long number and the 2^-2024 in a cosine. An evaluation therefore notes over how
many bits the magnitudes in it spread, and `enough_digits` repeats it with as many more. A sum that comes out smaller
than all of that is a sum that cancels, and zero.

Every step is bounded: exponents, factorials, the size of integers and the number of digits have limits, and what goes
beyond raises `TooComplex` before it is computed.
"""

import math
import zlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, TypeVar

from mpmath import mp

from openrlhf.grading.reading import expressions as ex

_MOST_BITS = 200_000
_LARGEST_FACTORIAL = 3_000
_LARGEST_ARGUMENT_BITS = 64
_MOST_DIGITS = 8_000
_MOST_GAMMA_DIGITS = 300
# Digits that stay free for rounding, and the decimal digits of spread that every evaluation allows for.
GUARD = 15
_ALLOWED = 10
_PER_BIT = 0.30103
_MOST_REPETITIONS = 4
_SHORT_BITS = 32
_MOST_FOLD = 16
_LOG_BITS = 4
# Functions that are as exact in relation to their value as their argument is, and those that are so at all, however
# small they come out.
_PROPORTIONATE = frozenset(("abs", "root", "cbrt", "max", "min"))
_RELATIVE = frozenset(("exp", "sech", "csch", "factorial", "factorial2", "binomial"))
_STEPPING = frozenset(("floor", "ceil"))
_HYPERBOLIC = frozenset(("sinh", "cosh", "tanh", "coth"))
T = TypeVar("T")


class TooComplex(ValueError):
    """A value too large to compute."""


class NotExact(ValueError):
    """The expression is not a rational number that arithmetic alone gives."""


class Undefined(ValueError):
    """No value here: division by zero, or no real value where real values are asked for."""


def exact(node: ex.Node) -> Fraction:
    """The value of an expression of rational numbers. Raises `NotExact`, `Undefined`, `TooComplex`."""
    if isinstance(node, ex.Number):
        return node.value
    if isinstance(node, ex.Sum):
        return _bounded(sum((exact(term) for term in node.terms), Fraction(0)))
    if isinstance(node, ex.Product):
        value = Fraction(1)
        for factor in node.factors:
            value = _bounded(value * exact(factor))
        return value
    if isinstance(node, ex.Power):
        return _exact_power(exact(node.base), exact(node.exponent))
    if isinstance(node, ex.Call):
        return _exact_call(node)
    raise NotExact


def _bounded(value: Fraction) -> Fraction:
    if value.numerator.bit_length() + value.denominator.bit_length() > _MOST_BITS:
        raise TooComplex
    return value


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise NotExact
    if base == 0 and exponent <= 0:
        raise Undefined
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if base not in (0, 1, -1) and bits * abs(exponent) > _MOST_BITS:
        raise TooComplex
    if base in (1, -1):
        return base ** int(exponent % 2)
    return base ** int(exponent)


def _exact_call(node: ex.Call) -> Fraction:
    values = [exact(argument) for argument in node.arguments]
    if node.name == "abs" and len(values) == 1:
        return abs(values[0])
    if node.name == "floor" and len(values) == 1:
        return Fraction(values[0].numerator // values[0].denominator)
    if node.name == "ceil" and len(values) == 1:
        return Fraction(-(-values[0].numerator // values[0].denominator))
    if node.name in ("max", "min") and values:
        return max(values) if node.name == "max" else min(values)
    if node.name in ("gcd", "lcm") and values and all(value.denominator == 1 for value in values):
        return Fraction(getattr(math, node.name)(*(int(value) for value in values)))
    if node.name in ("factorial", "factorial2", "binomial") and all(v.denominator == 1 and v >= 0 for v in values):
        if max(values) > _LARGEST_FACTORIAL:
            raise NotExact
        numbers = [int(value) for value in values]
        if node.name == "factorial2":
            return Fraction(math.prod(range(numbers[0], 0, -2)))
        return Fraction(math.factorial(numbers[0]) if node.name == "factorial" else math.comb(*numbers[:2]))
    raise NotExact


Values = Mapping[str, Any]
# For every `enough_digits` that is under way: the bits over which magnitudes spread, and those lost to cancellation.
_spreads: list[tuple[int, int]] = []


def enough_digits(compute: Callable[[], T], digits: int) -> T:
    """`compute()` with mpmath at `digits`, and at more as long as its evaluations need more to show every term.

    Raises what `compute` raises, and `TooComplex` where no reasonable number of digits is enough.
    """
    current = digits
    for _ in range(_MOST_REPETITIONS):
        _spreads.append((0, 0))
        failure: Exception | None = None
        try:
            with mp.workdps(current):
                outcome = compute()
        except (Undefined, ZeroDivisionError) as error:
            failure = error
        finally:
            spread, lost = _spreads.pop()
            _spread(spread, lost)
        needed = digits + max(0, int((spread + lost) * _PER_BIT) - _ALLOWED)
        if needed <= current:
            if failure is not None:
                raise failure
            return outcome
        if needed > _MOST_DIGITS:
            break
        current = needed + GUARD
    raise TooComplex


def _spread(bits: int, lost: int = 0) -> None:
    if _spreads:
        before = _spreads[-1]
        if bits > before[0] or lost > before[1]:
            _spreads[-1] = max(bits, before[0]), max(lost, before[1])


def negligible(value: Any, scale: Any, lost: int | None = None) -> bool:
    """Whether a value is nothing but rounding beside another one, at the current precision.

    lost: bits of the precision that are lost already; None for as many as in any evaluation so far.
    """
    if lost is None:
        lost = _spreads[-1][1] if _spreads else 0
    digits = GUARD - mp.dps + int(lost * _PER_BIT)
    size, limit = _magnitude(value), _magnitude(scale)
    # Magnitudes decide unless they lie next to each other; they are off by two bits at most.
    if size is not None and limit is not None and abs(bits := size - limit - digits / _PER_BIT) > 3:
        return bits < 0
    return bool(abs(value) <= abs(scale) * mp.mpf(10) ** digits)


def close(first: Any, second: Any) -> bool:
    """Whether two values are equal but for rounding; nothing but zero is close to zero."""
    if mp.isinf(first) or mp.isinf(second) or mp.isnan(first) or mp.isnan(second):
        return bool(first == second)
    return negligible(first - second, max(abs(first), abs(second)))


def _magnitude(value: Any) -> int | None:
    """The binary exponent of a value; None for zero, infinity and what is no number."""
    if isinstance(value, mp.mpf):
        _, mantissa, exponent, bits = value._mpf_
        return exponent + bits if mantissa else None
    return int(mp.mag(value)) if value != 0 and not mp.isinf(value) and not mp.isnan(value) else None


def evaluate(node: ex.Node, values: Values, real: bool, log_base: int = 0) -> Any:
    """The value of an expression as an mpmath number, at mpmath's current precision; exactly 0 where it cancels.

    values: one number (a Fraction or mpmath's) per symbol name. real: raise `Undefined` where an intermediate value
    is not real. log_base: the base of a `log` without one; 0 for e.
    """
    evaluation = _Evaluation(values, real, log_base)
    value = evaluation.value(node)
    _spread(evaluation.fine, evaluation.lost)
    return value


def is_unknown(function: str) -> bool:
    """Whether a function's name says nothing about its values: f, P, but not sin."""
    return function not in _FUNCTIONS


def sample(name: str, round_: int) -> Fraction:
    """A number between 0.2 and 2.9 that depends on a symbol's name and on the round."""
    return Fraction(zlib.crc32(f"{name}/{round_}".encode()) % 27_000_011, 10_000_019) + Fraction(1, 5)


class _Evaluation:
    def __init__(self, values: Values, real: bool, log_base: int) -> None:
        self.values = {
            name: mp.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value
            for name, value in values.items()
        }
        self.real = real
        self.log_base = log_base
        # How many bits below the value that was computed last its smallest ingredient lies.
        self.fine = 0
        # How many of its bits are rounding.
        self.lost = 0

    def parts(self, nodes: tuple[ex.Node, ...]) -> tuple[list[Any], list[tuple[int, int, int]]]:
        """The values of parts; of those that are not zero the magnitude, that of what is smallest in it, bits lost."""
        values, sizes = [], []
        for node in nodes:
            values.append(self.value(node))
            if (magnitude := _magnitude(values[-1])) is not None:
                sizes.append((magnitude, magnitude - self.fine, self.lost))
        self.fine = self.lost = 0
        return values, sizes

    def value(self, node: ex.Node) -> Any:
        self.fine = self.lost = 0
        if isinstance(node, ex.Number):
            # Long numbers may differ in their last digit.
            bits = node.value.numerator.bit_length() + node.value.denominator.bit_length()
            self.fine = max(0, bits - _SHORT_BITS)
            return mp.mpf(node.value.numerator) / node.value.denominator
        if isinstance(node, ex.Symbol):
            return self.values[node.name]
        if isinstance(node, ex.Constant) and node.name in _CONSTANTS:
            return _CONSTANTS[node.name]()
        if isinstance(node, ex.Sum):
            return self.sum(node)
        if isinstance(node, ex.Product):
            return self.product(node)
        if isinstance(node, ex.Power):
            return self.power(node)
        if isinstance(node, ex.Call):
            return self.call(node)
        if isinstance(node, ex.Quantity) and node.unit == "circ":
            return self.value(node.value) * mp.pi / 180
        if isinstance(node, ex.Quantity) and node.unit == "%":
            return self.value(node.value) / 100
        raise Undefined

    def sum(self, node: ex.Sum) -> Any:
        terms, sizes = self.parts(node.terms)
        total = mp.fsum(terms)
        if not sizes:
            return total
        largest, lowest = max(magnitude for magnitude, _, _ in sizes), min(low for _, low, _ in sizes)
        rounding = max(magnitude + lost for magnitude, _, lost in sizes)
        _spread(largest - lowest, rounding - largest)
        if total == 0 or negligible(total, max(map(abs, terms)), rounding - largest):
            return mp.mpf(0)
        magnitude = _magnitude(total) or 0
        self.fine, self.lost = max(0, magnitude - lowest), max(0, rounding - magnitude)
        return total

    def product(self, node: ex.Product) -> Any:
        values, fine, lost = [], 0, 0
        for factor in node.factors:
            values.append(self.value(factor))
            fine, lost = fine + self.fine, max(lost, self.lost)
        self.fine, self.lost = fine, lost
        return mp.fprod(values)

    def power(self, node: ex.Power) -> Any:
        base = self.value(node.base)
        fine, lost = self.fine, self.lost
        try:
            exponent = exact(node.exponent)
        except (NotExact, Undefined, TooComplex):
            value = self.value(node.exponent)
            magnitude = _magnitude(value) or 0
            self.fine += fine + abs(magnitude)
            self.lost = max(lost, self.lost) + max(0, magnitude) + _LOG_BITS
            if mp.isint(value):
                self.moderate(value)
                return self.integer_power(base, int(mp.re(value)))
            return self.general_power(base, value)
        # Rounding grows with the exponent; small terms of the base meet in products.
        self.fine = fine * min(math.ceil(abs(exponent)), _MOST_FOLD)
        _spread(exponent.denominator.bit_length())
        self.lost = lost + exponent.numerator.bit_length() - 1
        if exponent == -1:
            return 1 / self.nonzero(base)
        if exponent.denominator == 1:
            return self.integer_power(base, int(exponent))
        # The real root where there is one: (-8)^(1/3) = -2.
        if exponent.denominator % 2 and exponent.denominator < 1000 and self.is_negative(base):
            root = -self.general_power(-base, mp.mpf(exponent.numerator) / exponent.denominator)
            return root if exponent.numerator % 2 else -root
        return self.general_power(base, mp.mpf(exponent.numerator) / exponent.denominator)

    def integer_power(self, base: Any, exponent: int) -> Any:
        if exponent < 0 or exponent == base == 0:
            self.nonzero(base)
        if exponent.bit_length() > _LARGEST_ARGUMENT_BITS or exponent.bit_length() + mp.mag(base) > 10**6:
            raise TooComplex
        return mp.power(base, exponent)

    def general_power(self, base: Any, exponent: Any) -> Any:
        if base == 0:
            if mp.re(exponent) > 0:
                return base
            raise Undefined
        self.moderate(exponent)
        self.moderate_size(base)
        if self.real and self.is_negative(base):
            raise Undefined
        return mp.power(base, exponent)

    def call(self, node: ex.Call) -> Any:
        arguments, sizes = self.parts(node.arguments)
        for argument in arguments:
            self.moderate_size(argument)
        largest = max([0, *(magnitude for magnitude, _, _ in sizes)])
        lowest = min([0, *(low for _, low, _ in sizes)])
        fine = sum(magnitude - low for magnitude, low, _ in sizes)
        lost = max([0, *(lost for _, _, lost in sizes)])
        function = _FUNCTIONS.get(node.name)
        if function is None:
            self.fine, self.lost = 2 * (fine - lowest), lost + largest
            return self.unknown(node.name, arguments)
        try:
            result = function(self, *arguments)
        except (ZeroDivisionError, TypeError, ValueError) as error:
            raise Undefined from error
        if node.name in _PROPORTIONATE:
            self.fine, self.lost = fine, lost
        elif node.name in _RELATIVE:
            self.fine, self.lost = largest + fine - lowest, lost + largest
        elif node.name in _STEPPING:
            _spread(largest + fine - lowest, lost)
        elif arguments:
            scale = max(1, *map(abs, arguments))
            if negligible(result, scale, lost):
                result = mp.mpf(0)
            elif negligible(scale, result, lost):
                raise Undefined  # a pole, but for rounding
            # The cosine of something small is nearer to 1 by twice as many digits.
            magnitude = _magnitude(result) or 0
            self.fine = max(0, magnitude + 2 * (fine - lowest))
            self.lost = lost + largest + abs(magnitude)
            _spread(self.fine, self.lost)
        if node.name in _HYPERBOLIC:
            # That cosh and sinh, and tanh and 1, differ shows as many digits later.
            _spread(3 * int(abs(arguments[0])))
        if self.real and isinstance(result, mp.mpc):
            if result.imag != 0:
                raise Undefined
            return result.real
        return result

    def unknown(self, name: str, arguments: list[Any]) -> Any:
        """f(x) for a function that only has a name: some smooth function that depends on the name."""
        total = mp.mpf(0)
        for place, argument in enumerate(arguments):
            self.moderate(argument)
            pitch = sample(name, 100 + place)
            total += mp.sin(argument * pitch.numerator / pitch.denominator + place + 1)
        return total + mp.mpf(sample(name, 99).numerator) / sample(name, 99).denominator

    def nonzero(self, value: Any) -> Any:
        if value == 0:
            raise Undefined
        return value

    def is_negative(self, value: Any) -> bool:
        return not isinstance(value, mp.mpc) and value < 0

    def moderate(self, value: Any) -> Any:
        """Refuses arguments whose reduction modulo pi or whose exponential would take ages."""
        if value != 0 and mp.mag(value) > _LARGEST_ARGUMENT_BITS:
            raise TooComplex
        return value

    def moderate_size(self, value: Any) -> Any:
        if value != 0 and abs(mp.mag(value)) > _MOST_BITS:
            raise TooComplex
        return value

    def root(self, radicand: Any, degree: Any) -> Any:
        self.nonzero(degree)
        _spread(_magnitude(degree) or 0)
        if degree == 2:
            if self.real and self.is_negative(radicand):
                raise Undefined
            return mp.sqrt(radicand)
        if self.is_negative(radicand) and degree == mp.floor(degree) and int(degree) % 2:
            return -mp.power(-radicand, 1 / degree)
        return self.general_power(radicand, 1 / degree)

    def logarithm(self, argument: Any, base: Any = None) -> Any:
        if argument == 0 or (self.real and self.is_negative(argument)):
            raise Undefined
        if base is None:
            base = self.log_base or None
        return mp.log(argument) if base is None else mp.log(argument) / self.nonzero(mp.log(base))


def _moderated(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda evaluation, argument: function(evaluation.moderate(argument))


def _gamma_like(function: Callable[[Any], Any]) -> Callable[..., Any]:
    def apply(evaluation: _Evaluation, argument: Any) -> Any:
        if mp.dps > _MOST_GAMMA_DIGITS and not mp.isint(argument):
            raise TooComplex
        return function(evaluation.moderate(argument))

    return apply


def _rounded(function: Callable[[Any], Any]) -> Callable[..., Any]:
    def apply(evaluation: _Evaluation, argument: Any) -> Any:
        if isinstance(argument, mp.mpc):
            raise Undefined
        # A value that is an integer but for rounding is that integer.
        nearest = mp.nint(argument)
        if negligible(argument - nearest, max(1, abs(argument))):
            return nearest
        return function(argument)

    return apply


def _extreme(function: Callable[..., Any]) -> Callable[..., Any]:
    def apply(_: _Evaluation, *arguments: Any) -> Any:
        if any(isinstance(argument, mp.mpc) for argument in arguments):
            raise Undefined
        return function(arguments)

    return apply


_CONSTANTS = {"pi": lambda: +mp.pi, "e": lambda: +mp.e, "i": lambda: mp.mpc(0, 1)}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: _moderated(getattr(mp, name))
    for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "sech", "exp")
}
for _name, _alternative in (
    ("asin", "arcsin"), ("acos", "arccos"), ("atan", "arctan"), ("asinh", "arcsinh"), ("acosh", "arccosh"),
    ("atanh", "arctanh"), ("acot", "arccot"), ("asec", "arcsec"), ("acsc", "arccsc"),
):  # fmt: skip
    _FUNCTIONS[_name] = _FUNCTIONS[_alternative] = _moderated(getattr(mp, _name))
_FUNCTIONS.update(
    {
        "root": _Evaluation.root,
        "log": _Evaluation.logarithm,
        "ln": lambda evaluation, argument: _Evaluation.logarithm(evaluation, argument, mp.e),
        "lg": lambda evaluation, argument: _Evaluation.logarithm(evaluation, argument, 10),
        "abs": lambda _, argument: abs(argument),
        "cbrt": lambda evaluation, argument: evaluation.root(argument, 3),
        "floor": _rounded(lambda value: mp.floor(value)),
        "ceil": _rounded(lambda value: mp.ceil(value)),
        "max": _extreme(max),
        "min": _extreme(min),
        "Re": lambda _, argument: mp.re(argument),
        "Im": lambda _, argument: mp.im(argument),
        "arg": lambda _, argument: mp.arg(argument),
        "factorial": _gamma_like(lambda argument: mp.gamma(argument + 1)),
        "factorial2": _gamma_like(mp.fac2),
        "binomial": lambda evaluation, n, k: mp.binomial(evaluation.moderate(n), evaluation.moderate(k)),
    }
)
