"""What is asked and what is right: one problem of a benchmark."""

from dataclasses import dataclass
from enum import Enum


class AnswerKind(str, Enum):
    """How an answer is read and compared."""

    MATH = "math"  # anything mathematical, or a word
    CHOICE = "choice"  # one letter
    CHOICES = "choices"  # one or several letters, e.g. "ACD"


@dataclass(frozen=True)
class Problem:
    """One problem.

    index: its row in the benchmark's file; it names the problem in every output.
    gold: the right answer; empty where the row has none.
    also: answers that are right as well ("either point is a correct answer to this problem").
    solution: the worked solution, "" where the benchmark gives none.
    """

    index: int
    question: str
    gold: str
    also: tuple[str, ...] = ()
    kind: AnswerKind = AnswerKind.MATH
    solution: str = ""
    level: str = ""
    subject: str = ""
    source: str = ""
