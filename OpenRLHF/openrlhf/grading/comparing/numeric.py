"""Values of expressions: exact rationals where possible, else many digits, at sample points for variables.

Every step is bounded: exponents, factorials and the size of integers have limits, and what goes beyond raises
`TooComplex` before it is computed.
"""

import math
import zlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from mpmath import mp

from openrlhf.grading.reading import expressions as ex

_MOST_BITS = 200_000
_LARGEST_FACTORIAL = 3_000
_LARGEST_ARGUMENT_BITS = 64


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


def evaluate(node: ex.Node, values: Values, real: bool, log_base: int = 0) -> Any:
    """The value of an expression as an mpmath number, at mpmath's current precision.

    values: one number per symbol name. real: raise `Undefined` where an intermediate value is not real.
    log_base: the base of a `log` without one; 0 for e.
    """
    return _Evaluation(values, real, log_base).value(node)


def is_unknown(function: str) -> bool:
    """Whether a function's name says nothing about its values: f, P, but not sin."""
    return function not in _FUNCTIONS


def sample(name: str, round_: int) -> Fraction:
    """A number between 0.2 and 2.9 that depends on a symbol's name and on the round."""
    return Fraction(zlib.crc32(f"{name}/{round_}".encode()) % 27_000_011, 10_000_019) + Fraction(1, 5)


class _Evaluation:
    def __init__(self, values: Values, real: bool, log_base: int) -> None:
        self.values = values
        self.real = real
        self.log_base = log_base

    def value(self, node: ex.Node) -> Any:
        if isinstance(node, ex.Number):
            return mp.mpf(node.value.numerator) / node.value.denominator
        if isinstance(node, ex.Symbol):
            return self.values[node.name]
        if isinstance(node, ex.Constant):
            return self.constant(node.name)
        if isinstance(node, ex.Sum):
            return mp.fsum([self.value(term) for term in node.terms])
        if isinstance(node, ex.Product):
            return mp.fprod([self.value(factor) for factor in node.factors])
        if isinstance(node, ex.Power):
            return self.power(node)
        if isinstance(node, ex.Call):
            return self.call(node)
        if isinstance(node, ex.Quantity) and node.unit == "circ":
            return self.value(node.value) * mp.pi / 180
        if isinstance(node, ex.Quantity) and node.unit == "%":
            return self.value(node.value) / 100
        raise Undefined

    def constant(self, name: str) -> Any:
        if name == "pi":
            return +mp.pi
        if name == "e":
            return +mp.e
        if name == "i":
            return mp.mpc(0, 1)
        raise Undefined

    def power(self, node: ex.Power) -> Any:
        base = self.value(node.base)
        try:
            exponent = exact(node.exponent)
        except (NotExact, Undefined, TooComplex):
            return self.general_power(base, self.value(node.exponent))
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
        arguments = [self.value(argument) for argument in node.arguments]
        for argument in arguments:
            self.moderate_size(argument)
        function = _FUNCTIONS.get(node.name)
        if function is None:
            return self.unknown(node.name, arguments)
        try:
            result = function(self, *arguments)
        except (ZeroDivisionError, TypeError, ValueError) as error:
            raise Undefined from error
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
        if value == 0 or abs(value) < mp.mpf(10) ** (10 - mp.dps):
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

    def natural_logarithm(self, argument: Any) -> Any:
        if argument == 0 or (self.real and self.is_negative(argument)):
            raise Undefined
        return mp.log(argument)


def _moderated(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda evaluation, argument: function(evaluation.moderate(argument))


def _rounded(function: Callable[[Any], Any]) -> Callable[..., Any]:
    def apply(evaluation: _Evaluation, argument: Any) -> Any:
        if isinstance(argument, mp.mpc):
            raise Undefined
        # A value that is an integer but for rounding is that integer.
        nearest = mp.nint(argument)
        if abs(argument - nearest) < mp.mpf(10) ** (10 - mp.dps):
            return nearest
        return function(argument)

    return apply


def _extreme(function: Callable[..., Any]) -> Callable[..., Any]:
    def apply(_: _Evaluation, *arguments: Any) -> Any:
        if any(isinstance(argument, mp.mpc) for argument in arguments):
            raise Undefined
        return function(arguments)

    return apply


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
        "ln": _Evaluation.natural_logarithm,
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
        "factorial": _moderated(lambda argument: mp.gamma(argument + 1)),
        "factorial2": _moderated(mp.fac2),
        "binomial": lambda evaluation, n, k: mp.binomial(evaluation.moderate(n), evaluation.moderate(k)),
    }
)
