r"""Six families of arithmetic problems in the form of Hendrycks MATH, with worked steps.

Every problem has a level from 1 to 5 (by the size of its numbers), one of MATH's subjects, steps that are
facts about small numbers, and one answer: an integer or a fraction `\frac{a}{b}`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from random import Random

LEVELS = (1, 2, 3, 4, 5)
PRIMES = (2, 3, 5)
# How far a near miss is from the truth.
SLIPS = (1, 2, 3, 10)


@dataclass(frozen=True)
class Problem:
    """text: the statement. steps: what a careful solver writes down, in order, as LaTeX without dollars."""

    family: str
    subject: str
    level: int
    text: str
    steps: tuple[str, ...]
    value: Fraction

    @property
    def answer(self) -> str:
        return as_latex(self.value)


def as_latex(value: Fraction) -> str:
    """An integer as digits, anything else as a fraction in lowest terms."""
    if value.denominator == 1:
        return str(value.numerator)
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def near_miss(value: Fraction, random: Random) -> Fraction:
    """A wrong value of the kind that careless people write: one number of it is off by 1, 2, 3 or 10."""
    while True:
        slip = random.choice(SLIPS) * random.choice((-1, 1))
        if value.denominator == 1:
            wrong = value + slip
        elif random.random() < 0.5:
            wrong = Fraction(value.numerator + slip, value.denominator)
        else:
            wrong = Fraction(value.numerator, max(value.denominator + slip, 1))
        if wrong > 0 and wrong != value and (wrong.denominator == 1) == (value.denominator == 1):
            return wrong


def addition(level: int, random: Random) -> Problem:
    """Two numbers, added digit by digit from the right, with carries written out."""
    high, least, largest = ((49, 2, 9), (99, 2, 9), (49, 10, 49), (99, 10, 49), (99, 10, 99))[level - 1]
    a, b = random.randint(10, high), random.randint(least, largest)
    steps, carry, left, right = [], 0, a, b
    while left or right:
        total = left % 10 + right % 10 + carry
        steps.append(f"{left % 10}+{right % 10}" + ("+1" if carry else "") + f"={total}")
        carry, left, right = total // 10, left // 10, right // 10
    return Problem("addition", "Prealgebra", level, f"What is ${a}+{b}$?", tuple(steps), Fraction(a + b))


def product(level: int, random: Random) -> Problem:
    """A number of two digits times one digit: multiply each digit, then add the carry."""
    high, largest = ((99, 4), (99, 5), (99, 6), (99, 8), (99, 9))[level - 1]
    a, b = random.randint(10, high), random.randint(2, largest)
    steps, carry, left = [], 0, a
    while left:
        partial = left % 10 * b
        steps.append(rf"{left % 10}\cdot{b}={partial}")
        if carry:
            steps.append(f"{partial}+{carry}={partial + carry}")
        carry, left = (partial + carry) // 10, left // 10
    text = rf"Compute ${a}\cdot{b}$."
    return Problem("product", "Prealgebra", level, text, tuple(steps), Fraction(a * b))


def linear_equation(level: int, random: Random) -> Problem:
    """a(x + b) = c, from level 3 on also a(x - b) = c, with a positive whole solution."""
    factor, quotient, shift = ((6, 9, 8), (9, 12, 9), (9, 9, 9), (9, 12, 9), (9, 12, 19))[level - 1]
    a, both, b = random.randint(2, factor), random.randint(3, quotient), random.randint(1, shift)
    subtracted = b >= both or (level >= 3 and random.random() < 0.5)
    sign, back, x = ("-", "+", both + b) if subtracted else ("+", "-", both - b)
    steps = (f"{a * both}/{a}={both}", f"x={both}{back}{b}={x}")
    return Problem("linear", "Algebra", level, f"Solve ${a}(x{sign}{b})={a * both}$ for $x$.", steps, Fraction(x))


def _common_factors(level: int, random: Random) -> tuple[int, int, int]:
    """Coprime m != n (n > 1) and a common factor of at least 2 whose primes are 2, 3 and 5."""
    factors, largest = (
        ((2, 3, 5), 9),
        ((2, 3, 5), 12),
        ((2, 3, 4, 5), 12),
        ((3, 4, 5, 6), 12),
        ((4, 6, 9, 10), 12),
    )[level - 1]
    while True:
        m, n = random.randint(1, largest), random.randint(2, largest)
        if m != n and gcd(m, n) == 1:
            return m, n, random.choice(factors)


def _divide_out(a: int, b: int) -> tuple[list[str], list[int]]:
    """Divides both numbers by common primes, smallest first, until none is left: the steps and the primes."""
    steps, primes = [], []
    for prime in PRIMES:
        while a % prime == 0 and b % prime == 0:
            steps += [f"{a}/{prime}={a // prime}", f"{b}/{prime}={b // prime}"]
            primes.append(prime)
            a, b = a // prime, b // prime
    return steps, primes


def greatest_common_divisor(level: int, random: Random) -> Problem:
    m, n, factor = _common_factors(level, random)
    a, b = m * factor, n * factor
    steps, primes = _divide_out(a, b)
    result = primes[0]
    for prime in primes[1:]:
        steps.append(rf"{result}\cdot{prime}={result * prime}")
        result *= prime
    text = rf"Find $\gcd({a},{b})$."
    return Problem("gcd", "Number Theory", level, text, tuple(steps), Fraction(result))


def remainder(level: int, random: Random) -> Problem:
    """Long division, digit by digit: what is brought down, minus the largest multiple below it."""
    high, largest = ((99, 4), (99, 5), (99, 6), (99, 8), (99, 9))[level - 1]
    number, divisor = random.randint(10, high), random.randint(2, largest)
    steps, rest = [], 0
    for digit in str(number):
        brought_down = 10 * rest + int(digit)
        rest = brought_down % divisor
        steps.append(f"{brought_down}-{brought_down - rest}={rest}")
    text = f"What is the remainder when ${number}$ is divided by ${divisor}$?"
    return Problem("remainder", "Number Theory", level, text, tuple(steps), Fraction(rest))


def fraction(level: int, random: Random) -> Problem:
    """A fraction to be written in lowest terms."""
    m, n, factor = _common_factors(level, random)
    a, b = m * factor, n * factor
    steps, _ = _divide_out(a, b)
    text = rf"Simplify $\frac{{{a}}}{{{b}}}$."
    return Problem("fraction", "Prealgebra", level, text, tuple(steps), Fraction(m, n))


FAMILIES: tuple[Callable[[int, Random], Problem], ...] = (
    addition,
    product,
    linear_equation,
    greatest_common_divisor,
    remainder,
    fraction,
)
