"""Best of n, conditional SFT and preference pairs from rows scored by hand."""

import pytest

from openrlhf.config.inference import TaskConfig
from openrlhf.inference.post_processors import process, standardised

ROWS = [
    {"input": "p", "output": "p1", "reward": 1.0},
    {"input": "q", "output": "q1", "reward": 2.0},
    {"input": "p", "output": "p2", "reward": 3.0},
    {"input": "q", "output": "q2", "reward": 2.0},
    {"input": "p", "output": "p3", "reward": 3.0},
    {"input": "p", "output": "p4", "reward": -1.0},
]


def task(template: str | None = None, normalize: bool = False) -> TaskConfig:
    return TaskConfig(tp_size=1, reward_template=template, normalize_reward=normalize)


def test_without_a_post_processor_rows_stay_as_they_are():
    assert process(None, ROWS, task()) == (ROWS, [])


def test_rejection_sampling_keeps_the_first_of_the_best_for_each_input():
    kept, notes = process("rs", ROWS, task())
    assert [(row["input"], row["output"], row["reward"]) for row in kept] == [("p", "p2", 3.0), ("q", "q1", 2.0)]
    assert notes == []


def test_pairs_are_the_best_and_the_worst_and_equal_rewards_make_none():
    pairs, notes = process("iter_dpo", ROWS, task())
    assert pairs == [{"prompt": "p", "chosen": "p2", "chosen_reward": 3.0, "rejected": "p4", "rejected_reward": -1.0}]
    assert notes == ["1 of 2 prompts give no pair: all their responses have the same reward."]


def test_conditional_sft_writes_the_reward_with_two_decimals_behind_the_input():
    written, _ = process("csft", ROWS[:2], task())
    assert [row["input"] for row in written] == ["p <rm_score>: 1.00 ", "q <rm_score>: 2.00 "]
    assert [(row["output"], row["reward"]) for row in written] == [("p1", 1.0), ("q1", 2.0)]


def test_the_template_of_conditional_sft_may_hold_braces_and_inputs_may_hold_its_fields():
    rows = [{"input": r"\boxed{reward}", "output": "o", "reward": 0.125}]
    written, _ = process("csft", rows, task("[{reward}] {x} {input}"))
    assert written[0]["input"] == r"[0.12] {x} \boxed{reward}"


def test_normalised_rewards_of_conditional_sft_have_mean_0_and_deviation_1_over_the_file():
    # mean 2, deviations from it −1, 0, 1: standard deviation 1 with n − 1
    rows = [{"input": "a", "output": "o", "reward": reward} for reward in (1.0, 2.0, 3.0)]
    written, _ = process("csft", rows, task(normalize=True))
    assert [row["reward"] for row in written] == pytest.approx([-1.0, 0.0, 1.0])
    assert written[0]["input"] == "a <rm_score>: -1.00 "
    assert standardised([5.0, 5.0]) == [0.0, 0.0]
    assert standardised([5.0]) == [0.0]
