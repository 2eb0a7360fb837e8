"""What grading leaves to convention, and what it answers."""

from dataclasses import dataclass
from typing import Any

from openrlhf.errors import UserError

CHOICES = {
    "decimals": ("exact", "rounded"),
    "long_decimals": ("floats", "rounded", "exact"),
    "escapes": ("undone", "kept"),
    "remainders": ("value", "kept"),
    "combinations": ("counted", "kept"),
    "units": ("lenient", "strict"),
    "lists": ("any_order", "in_order"),
    "answer_kind": ("any", "choice", "number"),
}


@dataclass(frozen=True)
class GradingPolicy:
    r"""Conventions on which correct mathematics does not decide. The defaults suit MATH.

    decimals: "exact" accepts a decimal only for its exact value; "rounded" also accepts a prediction that
        rounds to a decimal gold at the gold's last digit (2.884e16 for 2.88e16), and one that is off by at
        most `tolerance`. A gold written with ≈ is always read as rounded.
    long_decimals: "floats" takes a decimal of 15 to 17 significant digits, which is how computers print numbers, for
        the fraction that rounds to it (0.0833333333333333 for 1/12). "rounded" takes one of ten digits or more, and
        for any exact value (3.141592654 for π). "exact" takes none.
    escapes: "undone" halves the backslashes of an answer in which all of them are doubled, which JSON does; in "kept"
        they separate rows.
    remainders: what 17 \bmod 5 = 2 is: with "value" it is 2.
    combinations: "counted" reads C_5^2 and A_5^2 in answers without other letters as numbers of choices and of
        arrangements, as school books in Chinese do; in "kept" they are powers of symbols.
    tolerance: relative tolerance for "rounded"; 0 for none.
    units: "lenient" compares units only where both sides have one; "strict" wants them on both sides or on
        none.
    lists: "any_order" compares bare lists ("1, 2") as multisets; "in_order" by position. Tuples and intervals
        are always ordered, sets never.
    answer_kind: what `extract_answer` looks for: "choice" letters A to E as a last resort, "number" nothing
        but a number in a phrase; "any" takes what is there.
    last_number: `extract_answer` falls back to the last number of a response that names no answer.
    max_length: answers longer than this many characters are compared as strings only (verdict "too_long").
    """

    decimals: str = "exact"
    long_decimals: str = "floats"
    escapes: str = "undone"
    remainders: str = "value"
    combinations: str = "counted"
    tolerance: float = 0.0
    units: str = "lenient"
    lists: str = "any_order"
    answer_kind: str = "any"
    last_number: bool = False
    max_length: int = 2000

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"a grading policy has {name}={getattr(self, name)!r}; expected {' or '.join(allowed)}")
        if not 0 <= self.tolerance < 1 or self.max_length < 1:
            raise UserError(
                f"a grading policy has tolerance={self.tolerance} and max_length={self.max_length}; "
                f"expected a tolerance from 0 up to 1 and a length above zero"
            )

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values, for a worker process."""
        return dict(vars(self))


# Policies by name. A word problem's gold is a number; models round what they divide and often announce nothing.
POLICIES = {
    "math": GradingPolicy(),
    "word_problem": GradingPolicy(decimals="rounded", answer_kind="number", last_number=True),
    "choice": GradingPolicy(answer_kind="choice"),
}


def named_policy(name: str) -> GradingPolicy:
    """One of `POLICIES`; raises `UserError` for another name."""
    if name not in POLICIES:
        raise UserError(f"there is no grading policy {name!r}; expected {' or '.join(POLICIES)}")
    return POLICIES[name]


@dataclass(frozen=True)
class Verdict:
    """Whether a prediction equals a gold answer, and how that was found.

    how: "string", "number", "expression", "structure", "text" or "symbolic" for the comparison that decided;
        "no_answer", "too_long", "too_complex", "unreadable", "timeout", "error" or "worker_died" where
        nothing could be compared (then `equal` is false, but not because the answers were seen to differ).
    seconds: wall time spent on the comparison itself, without waiting for a worker.
    """

    equal: bool
    how: str
    seconds: float
