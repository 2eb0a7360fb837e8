"""Words of doubt, and tokens that carry a calculation."""

import pytest

from openrlhf.experience.words import TaskTokens, hedging, is_task
from toy_models import byte_tokenizer


def test_expressions_of_doubt_are_counted_once_each_among_words() -> None:
    assert hedging(["Wait, let me check: 3 + 4 = 7. I think it's right."]) == (3, 8)  # "it's" is one
    assert hedging(["waiting for the checkout", "actual-wait"]) == (0, 5)
    assert hedging(["Let me add them. Let me check."]) == (2, 7)
    assert hedging([]) == (0, 0)


@pytest.mark.parametrize(
    ("token", "task"),
    [(" 12", True), ("+", True), (" =", True), ("\\frac", True), ("times", True), ("(3", True), ("x", False),
     ("2x", False), (" the", False), (".", False), ("", False), ("\n", False), ("≤", True)],
)  # fmt: skip
def test_numbers_and_operators_are_told_from_everything_else(token: str, task: bool) -> None:
    assert is_task(token) == task


def test_a_responses_tokens_are_classed_one_by_one() -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer("a+12 b")["input_ids"]
    assert TaskTokens(tokenizer).column(ids) == (0, 1, 1, 1, 0, 0)
