"""Each benchmark's policy, and how often the grader is asked."""

import pytest

from openrlhf.evaluation.figures.scoring import Grader
from openrlhf.evaluation.questions.benchmarks import benchmark
from openrlhf.evaluation.questions.problems import AnswerKind, Problem
from openrlhf.grading import GradingPool, Verdict


@pytest.fixture(scope="module")
def pool():
    with GradingPool(workers=1, timeout=5.0) as pool:
        yield pool


def is_right(pool, name, gold, response, kind=AnswerKind.MATH, prompt_type="none", also=()):
    problem = Problem(0, "Q", gold, also=also, kind=kind)
    ((scored,),) = Grader(benchmark(name), prompt_type, pool).score([problem], [[response]])
    return scored.right


@pytest.mark.parametrize(
    ("name", "gold", "response", "right"),
    [
        ("gsm8k", "18", "She makes $18 every day.", True),  # the last number counts in word problems
        ("gsm8k", "18", "18 eggs make her $20.", False),
        ("math", "18", "Counting gives 18 of them.", False),  # and nowhere else
        ("minerva_math", "1.6", r"\boxed{1.5832}", True),  # a measured gold is rounded
        ("minerva_math", "1.6", r"\boxed{1.52}", False),
        ("math", "1.6", r"\boxed{1.5832}", False),  # an exact one is not
        ("mawps", "0.3333", r"\boxed{\frac{1}{3}}", True),
        ("gaokao_math_cloze", "1, 2", r"\boxed{1; 2}", True),  # blanks are filled in order
        ("gaokao_math_cloze", "1, 2", r"\boxed{2, 1}", False),
        ("math", "2 or 3", r"\boxed{3} or \boxed{2}", True),  # solutions have none
        ("math", "2 or 3", r"\boxed{2}", False),
    ],
)
def test_answers_are_compared_by_the_sets_policy(pool, name, gold, response, right):
    assert is_right(pool, name, gold, response) is right


@pytest.mark.parametrize(
    ("response", "right"),
    [
        (r"\boxed{C}", True),
        ("The answer is (C).", True),
        (r"\boxed{C. 39}", True),
        (r"\boxed{39}", False),
        ("B", False),
    ],
)
def test_choices_are_compared_as_letters(pool, response, right):
    assert is_right(pool, "aqua", "C", response, AnswerKind.CHOICE) is right


@pytest.mark.parametrize(
    ("response", "right"), [(r"\boxed{ACD}", True), (r"\boxed{A, C, D}", True), (r"\boxed{AC}", False)]
)
def test_several_choices_are_all_needed(pool, response, right):
    assert is_right(pool, "gaokao2024_I", "ACD", response, AnswerKind.CHOICES) is right


def test_after_direct_the_response_is_the_answer(pool):
    assert is_right(pool, "math", "42", "We get 42", prompt_type="direct")
    assert not is_right(pool, "math", "42", "We get 42", prompt_type="cot")


def test_either_of_several_accepted_answers_is_right(pool):
    assert is_right(pool, "math", "(3,-5)", r"\boxed{(0,0)}", also=("(0,0)",))
    assert not is_right(pool, "math", "(3,-5)", r"\boxed{(1,1)}", also=("(0,0)",))


class CountingPool:
    """Compares strings and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def grade_batch(self, pairs, policy):
        self.asked += pairs
        return [Verdict(a == b, "string", 0.0) for a, b in pairs]


def test_every_distinct_pair_is_graded_once():
    pool = CountingPool()
    grader = Grader(benchmark("math"), "none", pool)
    problems = [Problem(0, "Q", "1"), Problem(1, "R", "1")]
    responses = [[r"\boxed{1}", r"so \boxed{1}", r"\boxed{2}", "nothing"]] * 2
    scored = grader.score(problems, responses)
    assert sorted(pool.asked) == [("1", "1"), ("2", "1")]
    assert [[s.how for s in row] for row in scored] == [["string", "string", "string", "no_answer"]] * 2
    grader.score(problems, responses)
    assert len(pool.asked) == 2


def test_a_vote_compares_only_what_can_decide_it():
    pool = CountingPool()
    grader = Grader(benchmark("math"), "none", pool)
    problems = [Problem(i, "Q", "1") for i in range(3)]
    answers = [["1", "1", "2"], ["1", "2", "3"], ["2", "3", "4"]]
    scored = grader.score(problems, [[rf"\boxed{{{a}}}" for a in row] for row in answers])
    pool.asked.clear()
    assert grader.majority(problems, scored) == [1.0, pytest.approx(1 / 3), 0.0]
    assert pool.asked == [("2", "3")]
