"""A second round of sampling: other prompts for those that teach nothing, and hinted ones for those that all fail."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from configuring import rl_config
from openrlhf.config.reinforcement import RLConfig
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.methods.dapo import DAPO
from openrlhf.methods.hdpo import HDPO
from openrlhf.rollout.engine import Sampling
from openrlhf.trainer.rollout_maker import RolloutMaker
from openrlhf.trainer.second_round import GuidingMaker, RefillingMaker, with_second_round
from toy_models import byte_tokenizer

PROMPTS = [Prompt(index, f"p{index}", (1,), "a") for index in range(10)]
SAMPLING = Sampling(temperature=1.0, max_new_tokens=4)


class Table(RolloutMaker):
    """Of every third prompt one response is right, of the others none. Remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def make(self, prompts: Sequence[Prompt], samples: int, sampling: Sampling, **_: Any) -> list[Rollout]:
        self.asked.append([prompt.index for prompt in prompts])
        return [
            Rollout(prompt, sample, (5,), (-1.0,), "stop", "", float(prompt.index % 3 == 0 and sample == 0))
            for prompt in prompts
            for sample in range(samples)
        ]


def again(table: RolloutMaker, config: RLConfig) -> RolloutMaker:
    return with_second_round(table, config, PROMPTS, byte_tokenizer())


def made(budget: float, step: int = 1, seed: int = 7) -> tuple[list[int], Table, RolloutMaker]:
    table = Table()
    maker = RefillingMaker(table, DAPO(refill_budget=budget), PROMPTS, seed)
    found = maker.make(PROMPTS[:4], 2, SAMPLING, purpose="rollout", step=step)
    return [rollout.prompt.index for rollout in found[::2]], table, maker


def test_prompts_without_signal_are_replaced_in_their_place_until_none_is_left_or_the_budget_is_used_up() -> None:
    """Of 0 to 3, prompts 1 and 2 teach nothing; of the others 6 and 9 teach."""
    indices, table, maker = made(budget=10.0)
    assert (indices[0], indices[3]) == (0, 3)
    assert set(indices[1:3]) == {6, 9}
    assert table.asked[0] == [0, 1, 2, 3]
    drawn = [index for asked in table.asked[1:] for index in asked]
    assert len(drawn) == len(set(drawn))
    assert set(drawn) <= {4, 5, 6, 7, 8, 9}
    assert maker.figures(1) == {"train/refill_groups": len(drawn), "train/refilled_groups": 2}


@pytest.mark.parametrize(("budget", "most"), [(0.25, 1), (0.5, 2), (1.0, 4), (0.1, 0)])
def test_no_more_than_the_budget_is_sampled(budget: float, most: int) -> None:
    for step in range(1, 6):
        indices, table, _ = made(budget, step)
        assert sum(map(len, table.asked[1:])) <= most
        assert len(indices) == 4


def test_what_is_sampled_depends_on_the_step_alone() -> None:
    assert made(0.5, step=3)[1].asked == made(0.5, step=3)[1].asked
    assert len({str(made(0.5, step=step)[1].asked) for step in range(8)}) > 1


def test_where_no_prompt_is_left_the_groups_stay() -> None:
    table = Table()
    maker = RefillingMaker(table, DAPO(refill_budget=1.0), PROMPTS[:4], 0)
    found = maker.make(PROMPTS[:4], 2, SAMPLING, purpose="rollout", step=1)
    assert [rollout.prompt.index for rollout in found[::2]] == [0, 1, 2, 3]
    assert maker.figures(1) == {"train/refill_groups": 0, "train/refilled_groups": 0}


def test_only_a_method_that_leaves_groups_out_refills() -> None:
    table = Table()
    assert again(table, rl_config("group_norm", refill_budget=1.0)) is table
    assert again(table, rl_config("dapo")) is table
    assert again(table, rl_config("group_norm", refill_budget=1.0, dynamic_filtering=True)) is not table
    assert "up to 64 further prompts" in DAPO(refill_budget=0.5).describe(rl_config("dapo", rollout_batch_size=128))


class Hinted(Table):
    """With a hint the first of two responses is right, except to prompt 4."""

    def make(self, prompts: Sequence[Prompt], samples: int, sampling: Sampling, **how: Any) -> list[Rollout]:
        found = super().make(prompts, samples, sampling)
        if how.get("hints") is None:
            return found
        self.hints = how["hints"]
        return [replace(r, reward=float(r.sample == 0 and r.prompt.index != 4), token_ids=(8,)) for r in found]


def test_where_all_fail_right_hinted_responses_take_their_places() -> None:
    """Of 0 to 4, prompts 1, 2 and 4 fail; the hint helps with 1 and 2."""
    table = Hinted()
    maker = GuidingMaker(table, HDPO(samples=2, answer_template="<{answer}>"), byte_tokenizer())
    found = maker.make(PROMPTS[:5], 3, SAMPLING, purpose="rollout", step=1)
    assert [(r.prompt.index, r.sample) for r in found] == [(i, k) for i in range(5) for k in range(3)]
    assert {(r.prompt.index, r.sample) for r in found if r.guided} == {(1, 0), (2, 0)}
    assert all(r.token_ids == ((8,) if r.guided else (5,)) for r in found)
    assert sum(r.correct for r in found) == 2  # in the figures those of 0 and 3 alone
    assert table.asked == [[0, 1, 2, 3, 4], [1, 2, 4]]
    assert table.hints == [tuple(byte_tokenizer()("<a>")["input_ids"])] * 3
    assert maker.figures(1) == {"train/guided_prompts": 3, "train/guided_right": 2}
    assert maker.figures(1) == {}


def test_hinted_responses_are_distilled_and_compared_with_nobody() -> None:
    method = HDPO()
    guided = replace(Rollout(PROMPTS[0], 0, (8,), (-1.0,), "stop", "", 0.0), guided=True)
    failed = [Rollout(PROMPTS[0], sample, (5,), (-1.0,), "stop", "", 0.0) for sample in (1, 2)]
    assert method.outcomes([guided, *failed]) == [0.0, 0.0, 0.0]
    assert [len(method.hints(r, [guided, *failed])) for r in (guided, failed[0])] == [1, 0]
    right = replace(failed[0], reward=1.0)
    assert method.outcomes([right, failed[1]]) == pytest.approx([0.5**0.5, -(0.5**0.5)])
