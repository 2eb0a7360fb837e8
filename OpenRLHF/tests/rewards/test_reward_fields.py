"""Reward functions that take more columns of the prompt data than the label."""

import datetime
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from openrlhf.datasets.prompts import build_prompts
from openrlhf.errors import UserError
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.rewards.functions import Rewards, open_rewards
from openrlhf.rewards.signature import Columns, columns_of
from openrlhf.trainer.graders import TextGrader
from toy_models import save_toy

Opener = Callable[..., Rewards]
NOTHING = ["", "", ""]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens the reward function with these lines; closes it at the end."""
    running = []

    def start(source: str, timeout: float = 30.0) -> Rewards:
        (tmp_path / "reward.py").write_text(source)
        running.append(open_rewards([str(tmp_path / "reward.py")], workers=2, timeout=timeout))
        return running[-1]

    yield start
    for rewards in running:
        rewards.close()


def test_a_function_with_fields_gets_every_column_but_those_named_like_its_first_three(opened: Opener) -> None:
    rewards = opened(
        "def reward_func(queries, prompts, gold, **fields):\n"
        "    assert fields == {'level': [1, 2, None], 'two words': [{'a': [0.5]}, 'x', True]}\n"
        "    assert prompts == gold == ['', '', '']\n"
        "    return [level or 0 for level in fields['level']]\n"
    )
    fields = {"level": [1, 2, None], "two words": [{"a": [0.5]}, "x", True]}
    reserved = {"queries": [0] * 3, "prompts": [0] * 3, "labels": [0] * 3, "gold": [0] * 3}
    assert rewards.submit(["a", "b", "c"], NOTHING, NOTHING, {**fields, **reserved}).result(60) == [1.0, 2.0, 0.0]


def test_a_function_of_three_parameters_gets_three_whatever_the_columns_hold(opened: Opener) -> None:
    rewards = opened("def reward_func(queries, prompts, labels):\n    return [len(query) for query in queries]\n")
    fields = {"level": [1, 2, 3], "day": [datetime.date(2024, 1, 1)] * 3}  # no JSON: it is not sent
    assert rewards.submit(["a", "bb", "ccc"], NOTHING, NOTHING, fields).result(60) == [1.0, 2.0, 3.0]


def test_named_parameters_get_their_columns_alone_and_keep_their_defaults_without(opened: Opener) -> None:
    rewards = opened(
        "def reward_func(queries, prompts, labels, level=None, *, scale, bonus=(7,)):\n"
        "    assert level is None or level == [1, 2, 3]\n"
        "    return [one * bonus[0] for one in scale]\n"
    )
    fields = {"scale": [1, 2, 3], "day": [datetime.date(2024, 1, 1)] * 3}
    assert rewards.submit(["a", "b", "c"], NOTHING, NOTHING, fields).result(60) == [7.0, 14.0, 21.0]
    fields["level"] = [1, 2, 3]
    assert rewards.submit(["a", "b", "c"], NOTHING, NOTHING, fields).result(60) == [7.0, 14.0, 21.0]


def test_a_required_column_that_is_not_there_is_named_with_those_that_are(opened: Opener) -> None:
    rewards = opened("def reward_func(queries, prompts, labels, level):\n    return level\n")
    with pytest.raises(UserError, match="requires level, found the columns source, day"):
        rewards.submit(["a"], [""], [""], {"source": ["x"], "day": ["y"]}).result(60)
    with pytest.raises(UserError, match="requires level, found the columns none"):
        rewards.submit(["a"], [""], [""]).result(60)


def test_a_column_that_is_no_json_is_named(opened: Opener) -> None:
    rewards = opened("def reward_func(queries, prompts, labels, **fields):\n    return [0.0 for _ in queries]\n")
    with pytest.raises(UserError, match=r"column 'day' cannot be given to reward_func: .*date"):
        rewards.submit(["a"], [""], [""], {"level": [1], "day": [datetime.date(2024, 1, 1)]}).result(60)
    assert rewards.submit(["a"], [""], [""], {"level": [1]}).result(60) == [0.0]


def test_columns_stay_with_their_queries_when_a_call_is_repeated_one_by_one(opened: Opener) -> None:
    rewards = opened(
        "import os, time\n"
        "def reward_func(queries, prompts, labels, **fields):\n"
        "    if 'hang' in queries:\n        time.sleep(60)\n"
        "    if 'crash' in queries:\n        os._exit(1)\n"
        "    return [float(f'{query}{level}') for query, level in zip(queries, fields['level'], strict=True)]\n",
        timeout=2,
    )
    queries = ["1", "hang", "2", "crash", "3"]
    found = rewards.submit(queries, [""] * 5, [""] * 5, {"level": [4, 5, 6, 7, 8]}).result(90)
    assert (found[0], found[2], found[4]) == (14.0, 26.0, 38.0)
    assert math.isnan(found[1])
    assert math.isnan(found[3])
    assert rewards.failures == 2


@pytest.mark.parametrize(
    "parameters", ["queries", "queries, prompts", "queries, prompts, *, labels", "queries, prompts, labels, level, /"]
)
def test_a_function_that_cannot_be_called_is_refused_when_it_is_loaded(opened: Opener, parameters: str) -> None:
    rewards = opened(f"def reward_func({parameters}):\n    return []\n")
    with pytest.raises(UserError, match=r"cannot be called as reward_func\(queries, prompts, labels\)"):
        rewards.submit(["a"], [""], [""], {"level": [1]}).result(60)


def test_arguments_taken_as_a_list_and_callables_without_signature_are_left_alone() -> None:
    assert columns_of(lambda *everything: everything) == Columns([], [], False, ["queries", "prompts", "labels"])
    assert columns_of(iter) == Columns()


def test_the_built_in_grader_takes_no_columns_even_if_they_are_named_like_its_settings() -> None:
    rewards = open_rewards(["math"], workers=1, timeout=30)
    try:
        fields = {"policy": ["lax"], "pool": [4]}
        assert rewards.submit([r"Q \boxed{4}"], ["Q"], ["4"], fields).result(60) == [1.0]
    finally:
        rewards.close()


def test_rollouts_bring_the_columns_of_their_rows_once_per_sample(opened: Opener, tmp_path: Path) -> None:
    save_toy(tmp_path / "model")
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "model")
    records = [
        {"problem": "1 + 1 =", "answer": "2", "level": 1, "tags": ["easy"]},
        {"problem": "2 + 3 =", "answer": "5", "source": "book"},
    ]
    prompts = build_prompts(records, tokenizer, max_tokens=32, input_key="problem", label_key="answer").prompts
    rollouts = [
        Rollout(prompt, sample, prompt.token_ids, (), "stop", "") for prompt in reversed(prompts) for sample in (0, 1)
    ]
    rewards = opened(
        "def reward_func(queries, prompts, labels, **fields):\n"
        "    assert labels == ['5', '5', '2', '2']\n"
        "    assert fields == {'level': [None, None, 1, 1], 'tags': [None, None, ['easy'], ['easy']],\n"
        "                      'source': ['book', 'book', None, None]}\n"
        "    return [level or 0 for level in fields['level']]\n"
    )
    assert TextGrader(rewards, tokenizer).grade(rollouts).result(60) == [0.0, 0.0, 1.0, 1.0]


def test_a_reward_function_reads_a_response_without_the_stop_string_that_ended_it(
    opened: Opener, tmp_path: Path
) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(save_toy(tmp_path / "model"))
    ends = ("It is 5.\nQ:", "It is 6.\n\n", "It is 7.")
    rollouts = [
        Rollout(
            Prompt(0, "2 + 3 =", (1,), "5"), i, tuple(tokenizer(text)["input_ids"]), (0.0,) * len(text), "stop", text
        )
        for i, text in enumerate(ends)
    ]
    rewards = opened(
        "def reward_func(queries, prompts, labels):\n"
        "    assert all(query.startswith('2 + 3 =It is ') for query in queries)\n"
        "    return [float(query[-2]) if query.endswith('.') else -1.0 for query in queries]\n"
    )
    assert TextGrader(rewards, tokenizer, ("\n\n", "\nQ:")).grade(rollouts).result(60) == [5.0, 6.0, 7.0]
