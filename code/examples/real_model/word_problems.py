"""Word problems of primary school, with worked solutions: what the warm start of a real model reads."""

from collections.abc import Callable
from fractions import Fraction
from random import Random

from openrlhf.demo.problems import Problem

NAMES = ("Ada", "Ben", "Carla", "Dev", "Emil", "Fay", "Gus", "Hana", "Ivo", "Jo", "Kim", "Lena", "Max", "Nora", "Omar")
THINGS = ("apples", "books", "cards", "coins", "eggs", "marbles", "pencils", "shells", "stamps", "stickers", "toys")
BOXES = ("bags", "boxes", "baskets", "jars", "rows")


def _two(random: Random, values: tuple[str, ...]) -> tuple[str, str]:
    first, second = random.sample(values, 2)
    return first, second


def gain(random: Random, size: int) -> tuple[str, str, int]:
    a, b = random.randint(2, size), random.randint(2, size)
    (who, other), what = _two(random, NAMES), random.choice(THINGS)
    text = random.choice(
        (
            f"{who} had {a} {what}. {other} gave {who} {b} more. How many {what} does {who} have now?",
            f"There are {a} {what} on the table. {who} puts {b} more {what} there. How many {what} are there in all?",
            f"{who} found {a} {what} and {other} found {b} {what}. How many {what} did they find together?",
        )
    )
    return text, f"{a}+{b}", a + b


def loss(random: Random, size: int) -> tuple[str, str, int]:
    b = random.randint(2, size)
    a = b + random.randint(1, size)
    (who, other), what = _two(random, NAMES), random.choice(THINGS)
    text = random.choice(
        (
            f"{who} had {a} {what} and gave {b} of them to {other}. How many {what} does {who} have left?",
            f"{who} picked {a} {what}. {b} of the {what} were lost. How many {what} are left?",
            f"{who} has {a} {what}. {other} has {b} {what}. How many more {what} does {who} have than {other}?",
        )
    )
    return text, f"{a}-{b}", a - b


def missing(random: Random, size: int) -> tuple[str, str, int]:
    a, found = random.randint(2, size), random.randint(2, size)
    who, what = random.choice(NAMES), random.choice(THINGS)
    text = random.choice(
        (
            f"{who} had {a} {what}. After buying some more {who} has {a + found} {what}. How many did {who} buy?",
            f"There were {a} {what} in the box. {who} added some. Now there are {a + found}. How many were added?",
        )
    )
    return text, f"{a + found}-{a}", found


def groups(random: Random, size: int) -> tuple[str, str, int]:
    a, b = random.randint(2, 12), random.randint(2, max(3, size // 6))
    who, what, box = random.choice(NAMES), random.choice(THINGS), random.choice(BOXES)
    text = random.choice(
        (
            f"{who} has {a} {box} with {b} {what} in each. How many {what} does {who} have?",
            f"Each of the {a} {box} holds {b} {what}. How many {what} are there in all?",
        )
    )
    return text, f"{a}*{b}", a * b


def shares(random: Random, size: int) -> tuple[str, str, int]:
    a, b = random.randint(2, 12), random.randint(2, max(3, size // 6))
    who, what, box = random.choice(NAMES), random.choice(THINGS), random.choice(BOXES)
    text = random.choice(
        (
            f"{who} puts {a * b} {what} into {a} {box}, the same number in each. How many {what} are in each?",
            f"{a} children share {a * b} {what} equally. How many {what} does each child get?",
        )
    )
    return text, f"{a * b}/{a}", b


def twice(random: Random, size: int) -> tuple[str, str, int]:
    a, b = random.randint(2, size), random.randint(2, size)
    c = random.randint(1, a + b - 1)
    who, what = random.choice(NAMES), random.choice(THINGS)
    text = (
        f"{who} had {a} {what}, bought {b} more and then gave {c} away. How many {what} does {who} have now?"
    )  # fmt: skip
    return text, f"{a}+{b}-{c}", a + b - c


FAMILIES: tuple[Callable[[Random, int], tuple[str, str, int]], ...] = (gain, loss, missing, groups, shares, twice)
SIZES = (12, 30, 60, 99)


def problem(random: Random) -> Problem:
    """One problem; its step is the equation that solves it."""
    level = random.randrange(len(SIZES))
    family = random.choice(FAMILIES)
    text, left, value = family(random, SIZES[level])
    return Problem(family.__name__, "Word problems", level + 1, text, (f"{left}={value}",), Fraction(value))
