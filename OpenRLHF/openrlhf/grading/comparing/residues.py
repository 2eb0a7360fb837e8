"""Rational expressions modulo a large prime: whether two are the same function, exactly, however long their numbers.

Two polynomials with rational coefficients that differ have the same residue at a point drawn at random with
probability degree / prime (Schwartz and Zippel). π and e count as symbols of their own, i as a root of -1. Nothing is
rounded and nothing grows, so that 100! + n, 2^2024 and (x + 1)^5000 cost the same as x + 1.
"""

import hashlib

from openrlhf.grading.comparing.numeric import NotExact, TooComplex, Undefined, exact
from openrlhf.grading.reading import expressions as ex

# A prime of 127 bits that leaves 1 modulo 4, and a square root of -1.
_PRIME = 166466603367693396400417137563572922221
_ROOT_OF_MINUS_ONE = pow(2, (_PRIME - 1) // 4, _PRIME)
_SALTS = ("a", "b", "c")


def same_rational(first: ex.Node, second: ex.Node) -> bool | None:
    """Whether two rational expressions are the same function; None where one of them is not rational."""
    try:
        return residue(first, "a") == residue(second, "a")
    except (NotExact, Undefined, TooComplex):
        return None


def same_ratio(first: ex.Node, second: ex.Node) -> bool | None:
    """Whether the quotient of two rational expressions is the same number for all values of the variables."""
    try:
        values = [(residue(first, salt), residue(second, salt)) for salt in _SALTS]
    except (NotExact, Undefined, TooComplex):
        return None
    (one, other), *more = values
    return all(map(all, values)) and all((one * b - other * a) % _PRIME == 0 for a, b in more)


def residue(node: ex.Node, salt: str) -> int:
    """The value of a rational expression where its symbols are random numbers that depend on their names and `salt`.

    Raises `NotExact` where the expression is not rational, `Undefined` for a division by zero.
    """
    if isinstance(node, ex.Number):
        return node.value.numerator * _inverse(node.value.denominator) % _PRIME
    if isinstance(node, ex.Symbol):
        return _random(f"{salt}/{node.name}")
    if isinstance(node, ex.Constant) and node.name in ("pi", "e", "i"):
        return _ROOT_OF_MINUS_ONE if node.name == "i" else _random(node.name)
    if isinstance(node, ex.Sum):
        return sum(residue(term, salt) for term in node.terms) % _PRIME
    if isinstance(node, ex.Product):
        value = 1
        for factor in node.factors:
            value = value * residue(factor, salt) % _PRIME
        return value
    if isinstance(node, ex.Power):
        return _power(residue(node.base, salt), node.exponent)
    if isinstance(node, ex.Call):
        return residue(ex.Number(exact(node)), salt)
    raise NotExact


def _power(base: int, exponent_node: ex.Node) -> int:
    exponent = exact(exponent_node)
    if exponent.denominator != 1:
        raise NotExact
    if not base and exponent <= 0:
        raise Undefined
    return pow(base if exponent >= 0 else _inverse(base), abs(exponent.numerator), _PRIME)


def _inverse(value: int) -> int:
    if value % _PRIME == 0:
        raise Undefined
    return 1 if value == 1 else pow(value, -1, _PRIME)


def _random(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=24).digest(), "big") % _PRIME
