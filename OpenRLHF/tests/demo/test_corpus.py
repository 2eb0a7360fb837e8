"""The demo's texts: promised shares, no overlap, and the same for the same seed."""

import math
from collections import Counter
from itertools import pairwise

import pytest

from openrlhf.demo.corpus import Demo, Example, Habits, make_demo, problems
from openrlhf.errors import UserError
from openrlhf.grading.extraction.boxes import find_boxes

HABITS = Habits(careful=0.4, careful_right=0.9, hasty_right=0.2, hinted=0.5)


@pytest.fixture(scope="module")
def demo() -> Demo:
    return make_demo(7, train=1280, test=120, held_out=600, examples=20_000, habits=HABITS)


def statement(example: Example) -> str:
    return example.prompt.split(" ###Answer:")[0]


def boxed(text: str) -> str:
    (box,) = find_boxes(text)
    return box.content


def near(share: float, expected: float, count: int) -> bool:
    """Within four standard errors of a binomial share."""
    return abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / count)


def share(examples: list[Example], name: str) -> float:
    return sum(getattr(example, name) for example in examples) / len(examples)


def test_habits_have_the_promised_shares(demo):
    plain = [example for example in demo.warm_start if not example.hinted]
    hinted = [example for example in demo.warm_start if example.hinted]
    careful = [example for example in plain if example.careful]
    hasty = [example for example in plain if not example.careful]
    assert near(share(demo.warm_start, "hinted"), 0.5, len(demo.warm_start))
    assert near(share(plain, "careful"), 0.4, len(plain))
    assert near(share(careful, "right"), 0.9, len(careful))
    assert near(share(hasty, "right"), 0.2, len(hasty))
    # P(careful | right) = 0.4·0.9 / (0.4·0.9 + 0.6·0.2) = 0.36 / 0.48
    assert HABITS.careful_given_right == pytest.approx(0.75)
    assert near(share(hinted, "careful"), 0.75, len(hinted))


def test_a_text_is_right_exactly_where_its_box_holds_the_answer(demo):
    answers = {problem.text: problem.answer for problem in demo.train}
    checked = Counter()
    for example in demo.warm_start:
        answer = answers.get(statement(example))
        if answer is not None:
            assert (boxed(example.response) == answer) == example.right, example
            checked[example.right] += 1
    assert min(checked[True], checked[False]) > 200


def test_a_hint_is_the_answer_that_its_solution_reaches(demo):
    hinted = [example for example in demo.warm_start if example.hinted]
    for example in hinted:
        assert example.right
        assert example.prompt.endswith(f" ###Answer:{boxed(example.response)} ###Solution:")


def test_no_evaluated_problem_is_trained_on(demo):
    evaluated = {problem.text for problem in (*demo.held_out, *demo.test)}
    assert len(evaluated) == 720  # distinct among themselves too
    assert evaluated.isdisjoint(problem.text for problem in demo.train)
    assert evaluated.isdisjoint(statement(example) for example in demo.warm_start)
    assert len({problem.text for problem in demo.train}) == 1280


def test_families_and_levels_have_equal_shares(demo):
    cells = Counter((problem.family, problem.level) for problem in (*demo.held_out, *demo.test))
    assert set(cells.values()) == {720 // 30}


def test_problems_are_shuffled():
    levels = [problem.level for problem in problems(1, 300)]
    assert any(before > after for before, after in pairwise(levels))


def test_the_same_seed_gives_the_same_demo_and_another_one_another():
    def small(seed: int) -> Demo:
        return make_demo(seed, train=60, test=30, held_out=30, examples=50, habits=Habits())

    assert small(3) == small(3)
    assert small(3) != small(4)


def test_more_problems_than_there_are_is_an_error_that_says_so():
    with pytest.raises(UserError, match="ask for fewer"):
        problems(0, 30_000)
