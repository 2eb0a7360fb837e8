r"""The demo's texts: a warm-start corpus of mixed quality, training problems and held-out problems.

The corpus is written by an author of two habits. Careful: a worked solution, nearly always right. Hasty:
"Clearly \boxed{…}", mostly wrong by a near miss. Half of the examples carry the answer as a hint between
problem and solution; there the solution is one of the same author's that reach this answer. A model that has
read it writes like the author, and knows from the hint which habit leads to answers: what a posterior can teach it.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from random import Random

from openrlhf.demo.problems import FAMILIES, LEVELS, Problem, as_latex, near_miss
from openrlhf.errors import UserError
from openrlhf.utils.seeding import derive_seed

TRIES = 10_000
HINT = " ###Answer:{answer} ###Solution:"


@dataclass(frozen=True)
class Habits:
    """Shares between 0 and 1: of careful solutions, of right answers of either habit, of hinted examples."""

    careful: float = 0.35
    careful_right: float = 0.95
    hasty_right: float = 0.25
    hinted: float = 0.5

    @property
    def careful_given_right(self) -> float:
        """By Bayes' rule, the share of careful solutions among those that reach the right answer."""
        careful = self.careful * self.careful_right
        return careful / (careful + (1 - self.careful) * self.hasty_right)


@dataclass(frozen=True)
class Example:
    """One text of the warm-start corpus: `prompt` (with or without the hint) and `response`."""

    prompt: str
    response: str
    careful: bool
    right: bool
    hinted: bool


def problems(seed: int, count: int, exclude: frozenset[str] = frozenset()) -> list[Problem]:
    """`count` problems, no text twice, none of `exclude`, families and levels in equal shares, shuffled."""
    random = Random(seed)
    cells = [(family, level) for level in LEVELS for family in FAMILIES]
    seen = set(exclude)
    chosen: list[Problem] = []
    for index in range(count):
        problem = new_problem(*cells[index % len(cells)], random, seen)
        seen.add(problem.text)
        chosen.append(problem)
    random.shuffle(chosen)
    return chosen


def warm_start(seed: int, count: int, exclude: frozenset[str], habits: Habits) -> Iterator[Example]:
    """`count` texts; a problem may come back with another solution, but none of `exclude` is among them."""
    random = Random(seed)
    cells = [(family, level) for level in LEVELS for family in FAMILIES]
    for _ in range(count):
        problem = new_problem(*random.choice(cells), random, exclude)
        yield write_example(problem, habits, random)


def new_problem(family: Callable[[int, Random], Problem], level: int, random: Random, seen: Collection[str]) -> Problem:
    """A problem whose text is not in `seen`; UserError where the family has hardly any left at this level."""
    for _ in range(TRIES):
        problem = family(level, random)
        if problem.text not in seen:
            return problem
    raise UserError(
        f"found no further problem like '{problem.text}' (level {level}) among {TRIES}: "
        f"more distinct problems are asked for than this family has; ask for fewer"
    )


def write_example(problem: Problem, habits: Habits, random: Random) -> Example:
    hinted = random.random() < habits.hinted
    if hinted:
        careful, right = random.random() < habits.careful_given_right, True
    else:
        careful = random.random() < habits.careful
        right = random.random() < (habits.careful_right if careful else habits.hasty_right)
    answer = problem.answer if right else as_latex(near_miss(problem.value, random))
    prompt = problem.text + (HINT.format(answer=problem.answer) if hinted else "")
    return Example(prompt, solution(problem, answer) if careful else hasty(answer), careful, right, hinted)


def solution(problem: Problem, answer: str) -> str:
    return rf" Carefully: ${','.join(problem.steps)}$, so $\boxed{{{answer}}}$."


def hasty(answer: str) -> str:
    return rf" Clearly $\boxed{{{answer}}}$."


@dataclass(frozen=True)
class Demo:
    """Everything the demo is made of.

    No problem of `held_out` or `test` occurs anywhere else; those of `train` may occur in `warm_start` too.
    """

    train: list[Problem]
    test: list[Problem]
    held_out: list[Problem]
    warm_start: list[Example]


def make_demo(seed: int, *, train: int, test: int, held_out: int, examples: int, habits: Habits) -> Demo:
    """The demo of a seed. Counts are of problems (`examples`: of warm-start texts)."""
    evaluation = problems(derive_seed(seed, "demo evaluation"), held_out + test)
    evaluated = frozenset(problem.text for problem in evaluation)
    training = problems(derive_seed(seed, "demo train"), train, evaluated)
    texts = warm_start(derive_seed(seed, "demo warm start"), examples, evaluated, habits)
    return Demo(training, evaluation[held_out:], evaluation[:held_out], list(texts))
