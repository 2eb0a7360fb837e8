"""A reward function that is broken ends the run with its own words; a response that it cannot grade does not."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from configuring import parsed
from openrlhf.config.rules import rl_rules
from openrlhf.errors import UserError
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.rewards.functions import Rewards, open_rewards
from openrlhf.rollout.engine import Completion, Request, Sampling
from openrlhf.trainer.rollout_maker import RolloutMaker

Opener = Callable[..., Rewards]
HEAD = "def reward_func(queries, prompts, labels):\n"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    running = []

    def start(source: str, timeout: float = 30.0) -> Rewards:
        (tmp_path / "reward.py").write_text(source)
        running.append(open_rewards([str(tmp_path / "reward.py")], workers=1, timeout=timeout))
        return running[-1]

    yield start
    for rewards in running:
        rewards.close()


BROKEN = {
    "raises": (HEAD + "    return [1 / 0]", r"raised ZeroDivisionError: division by zero \(reward.py, line 2\)"),
    "raises below": (
        "def helper():\n    raise KeyError('answer')\n" + HEAD + "    return helper()",
        r"raised KeyError: 'answer' \(reward.py, line 2\)",
    ),
    "a dictionary": (HEAD + "    return {'rewards': [0.0] * len(queries)}", "returned a dict; expected a list"),
    "a column": (
        "import numpy\n" + HEAD + "    return numpy.zeros((len(queries), 1))",
        r"returned a ndarray of shape \[2, 1\] for 2 queries",
    ),
    "a list of lists": (HEAD + "    return [[0.0] for _ in queries]", r"returned \[0.0\] as value 0"),
    "texts": (HEAD + "    return ['1.0' for _ in queries]", "returned '1.0' as value 0"),
    "None": (HEAD + "    pass", "returned a NoneType"),
    "None among numbers": (HEAD + "    return [0.5, None]", "returned None as value 1"),
    "one number": (HEAD + "    return 1.0", "returned a float"),
    "too few": (HEAD + "    return [1.0]", "returned 1 values for 2 queries"),
    "too many": (HEAD + "    return [1.0] * 3", "returned 3 values for 2 queries"),
    "an import that fails": (
        "import nowhere\n" + HEAD + "    return []",
        r"No module named 'nowhere' \(reward.py, line 1\)",
    ),
    "a syntax error": (HEAD + "    return [", r"reward.py cannot be loaded: SyntaxError: .* \(reward.py, line 2\)"),
    "another signature": ("def reward_func(queries):\n    return []", "cannot be called as reward_func"),
    "no function": ("def reward(queries): pass", "the file defines no reward_func"),
    "a file that ends the process": ("import sys\nsys.exit(3)", r"cannot be loaded: SystemExit: 3"),
    "a call that ends the process": ("import os\n" + HEAD + "    os._exit(1)", r"the worker process ended"),
}


@pytest.mark.parametrize(("source", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_one_call_finds_what_is_broken_and_says_it_in_one_line(opened: Opener, source: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        opened(source).check(["1 + 1 = 2", "2 + 2 = 4"], ["1 + 1 =", "2 + 2 ="], ["2", "4"])
    assert len(str(refused.value).splitlines()) == 1


def test_the_line_is_named_for_a_relative_path_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reward.py").write_text(HEAD + "    return [1 / 0]")
    monkeypatch.chdir(tmp_path)
    rewards = open_rewards(["reward.py"], workers=1, timeout=30)
    with pytest.raises(UserError, match=r"division by zero \(reward.py, line 2\)"):
        rewards.check(["a"], [""], [""])
    rewards.close()


def test_a_call_that_hangs_is_found_too(opened: Opener) -> None:
    rewards = opened("import time\n" + HEAD + "    time.sleep(60)", timeout=0.5)
    with pytest.raises(UserError, match=r"longer than 0.5 s"):
        rewards.check(["a", "b"], ["", ""], ["", ""])


def test_a_sound_function_passes_and_may_use_dataclasses_with_late_annotations(opened: Opener) -> None:
    source = (
        "from __future__ import annotations\nimport dataclasses\n"
        "@dataclasses.dataclass\nclass Grade:\n    value: float\n"
        + HEAD
        + "    return [Grade(2.0).value] * len(queries)"
    )
    rewards = opened(source)
    rewards.check(["a", "b"], ["", ""], ["", ""])
    assert rewards.submit(["a"], [""], [""]).result(60) == [2.0]


def test_a_function_that_raises_for_every_response_ends_the_run_with_its_own_traceback(opened: Opener) -> None:
    rewards = opened(
        "def helper(query):\n    raise KeyError(query)\n" + HEAD + "    return [helper(q) for q in queries]"
    )
    with pytest.raises(UserError, match="raises for each of 3 responses") as ended:
        rewards.submit(["a", "b", "c"], [""] * 3, [""] * 3).result(60)
    assert "line 2, in helper" in str(ended.value)
    assert "KeyError: 'a'" in str(ended.value)
    assert "worker_pool" not in str(ended.value)


def test_one_bad_response_costs_only_its_own_reward(opened: Opener) -> None:
    rewards = opened(HEAD + "    return [1 / len(query) for query in queries]")
    first, second, third = rewards.submit(["ab", "", "abcd"], [""] * 3, [""] * 3).result(60)
    assert (first, third, rewards.failures) == (0.5, 0.25, 1)
    assert math.isnan(second)
    assert "ZeroDivisionError" in rewards.reason


def test_a_wrong_length_is_not_hidden_by_asking_for_each_response_alone(opened: Opener) -> None:
    rewards = opened(HEAD + "    return [0.0]")  # right for a single response
    with pytest.raises(UserError, match="returned 1 values for 4 queries"):
        rewards.submit(["a"] * 4, [""] * 4, [""] * 4).result(60)


class Engine:
    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        yield [Completion(request.key, (1,), (0.0,), "stop", "") for request in requests]


class Grader:
    reason = "of the moon"

    def __init__(self, failing: int) -> None:
        self.failing = failing

    def grade(self, batch: Sequence[Rollout]) -> "Future[list[float]]":
        graded: Future[list[float]] = Future()
        graded.set_result([math.nan] * self.failing + [1.0] * (len(batch) - self.failing))
        return graded

    def close(self) -> None: ...


def make(failing: int, limit: float) -> list[Rollout]:
    maker = RolloutMaker(Engine(), Grader(failing), 0, limit)  # type: ignore[arg-type]
    prompts = [Prompt(number, "", (1,), "") for number in range(4)]
    return maker.make(prompts, 2, Sampling(temperature=1.0, max_new_tokens=1), purpose="rollout", step=1)


def test_a_step_may_lose_as_large_a_share_of_its_rewards_as_the_flag_says() -> None:
    assert sum(math.isnan(rollout.reward) for rollout in make(4, 0.5)) == 4
    with pytest.raises(UserError, match=r"5 of 8 responses got no reward.*--max_reward_failures 0.5.*of the moon"):
        make(5, 0.5)
    assert len(make(8, 1.0)) == 8
    with pytest.raises(UserError, match="1 of 8 responses"):
        make(1, 0.0)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def reward_func(q, p, l:\n", r"line 1: .*was never closed"),
        ("reward = 1\n", "defines no reward_func"),
        ("\0", "no Python|null bytes"),
    ],
)
def test_what_can_be_seen_without_running_the_file_is_seen_at_once(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "reward.py").write_text(source)
    argv = ("--pretrain", "m", "--prompt_data", "p", "--label_key", "a", "--remote_rm_url", str(tmp_path / "reward.py"))
    with pytest.raises(UserError, match=said):
        rl_rules(parsed("train_ppo_ray_intro", *argv).config)
