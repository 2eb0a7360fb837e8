"""The reward function that `--remote_rm_url` loads."""

import importlib.util
from pathlib import Path

import pytest
import torch

from openrlhf.errors import UserError
from openrlhf.rewards.correctness import correctness_reward

FILE = Path(__file__).parents[3] / "code/examples/grading/math_grade.py"


@pytest.fixture(scope="module")
def reward_func():
    spec = importlib.util.spec_from_file_location("math_grade", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.reward_func


def test_a_reward_is_one_for_a_right_answer_and_zero_for_any_other(reward_func):
    prompts = ["What is 1+1? ", "What is x+x? ", "What is 3? ", "Say something. "]
    responses = [r"It is \boxed{2}.", r"\boxed{2x}", r"\boxed{4}", "something"]
    rewards = reward_func([p + r for p, r in zip(prompts, responses, strict=True)], prompts, ["2", "x+x", "3", "5"])
    assert rewards.dtype == torch.float32
    assert rewards.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_a_box_in_the_prompt_earns_nothing(reward_func):
    prompt = r"Put it in a box like \boxed{7}. What is 3+4?"
    assert reward_func([prompt + " Well, hm."], [prompt], ["7"]).tolist() == [0.0]


def test_padding_before_the_prompt_is_no_part_of_the_response(reward_func):
    assert reward_func([r"<pad><pad>Q? \boxed{1}"], ["Q?"], ["1"]).tolist() == [1.0]


def test_a_hanging_answer_does_not_cost_the_rest_of_the_batch(reward_func):
    responses = [r"\boxed{\sum_{n=1}^{10^{12}} \sin(n)}", r"\boxed{x+x}", r"\boxed{5}"]
    rewards = reward_func(["Q" + response for response in responses], ["Q"] * 3, ["5", "2x", "5"])
    assert rewards.tolist() == [0.0, 1.0, 1.0]


def test_a_policy_for_word_problems_takes_the_last_number_and_rounds_to_the_gold():
    responses = ["She pays 12 + 6 dollars, 18 in all", "Each gets 7.333 litres", "It is 20 or so, I guess 19"]
    queries = [f"Q{response}" for response in responses]
    labels = ["18", "7.3", "18"]
    assert correctness_reward(queries, ["Q"] * 3, labels, policy="word_problem").tolist() == [1.0, 1.0, 0.0]
    assert correctness_reward(queries, ["Q"] * 3, labels).tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(UserError, match="word_problem"):
        correctness_reward(queries, ["Q"] * 3, labels, policy="word problem")


def test_a_query_without_its_prompt_is_refused(reward_func):
    with pytest.raises(UserError, match="does not contain its prompt"):
        reward_func([r"\boxed{5}"], ["another prompt"], ["5"])


def test_missing_labels_are_refused(reward_func):
    with pytest.raises(UserError, match="label_key"):
        reward_func(["Q A"], ["Q"], [])
