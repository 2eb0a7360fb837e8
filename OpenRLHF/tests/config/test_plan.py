"""Batch arithmetic and learning rates, worked out by hand."""

import pytest

from configuring import rl_config
from openrlhf.config.plan import make_plan
from openrlhf.config.schedule import learning_rate, warmup_steps
from openrlhf.errors import UserError

FLAGS = {
    "rollout_batch_size": 1024,
    "n_samples_per_prompt": 4,
    "train_batch_size": 128,
    "max_epochs": 1,
    "num_episodes": 1,
    "vllm_num_engines": 1,
    "lr_warmup_ratio": 0.03,
    "actor_learning_rate": 5e-7,
    "lr_min_ratio": 0.1,
    "critic_pretrain": None,
    "critic_learning_rate": 9e-6,
    "freezing_actor_steps": -1,
}


def test_the_published_run_on_the_train_split() -> None:
    """5,584 prompts: five batches of 1,024 give 5 × 32 steps, the last 464 give ⌈1,856 / 128⌉ = 15."""
    plan = make_plan(rl_config(**FLAGS), 5584)
    assert (plan.steps, plan.optimizer_steps, plan.warmup) == (6, 175, 6)


def test_a_data_set_smaller_than_a_batch_still_makes_a_step() -> None:
    plan = make_plan(rl_config(**{**FLAGS, "num_episodes": 3}), 10)
    assert (plan.steps, plan.optimizer_steps) == (3, 3)
    assert plan.learning_rate(0) == 5e-7  # one warm-up step, which already trains
    assert plan.learning_rate(2) == pytest.approx(5e-8)


def test_while_the_policy_is_frozen_its_schedule_waits() -> None:
    """Six rollout batches of 32 updates each but the last; the first two are the critic's alone."""
    plan = make_plan(rl_config(**{**FLAGS, "critic_pretrain": "c", "freezing_actor_steps": 2}), 5584)
    assert (plan.frozen_steps, plan.policy_steps) == (64, 111)
    assert plan.learning_rate(64) == pytest.approx(5e-7 / 4)  # the first of ⌈0.03 × 111⌉ warm-up steps
    assert plan.critic_learning_rate(0) == pytest.approx(9e-6 / 6)
    assert plan.learning_rate(174) == pytest.approx(5e-8)


def test_cosine_goes_from_the_peak_to_a_tenth() -> None:
    rates = [learning_rate(s, total_steps=14, warmup=4, peak=1.0) for s in range(14)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates[13] == pytest.approx(0.1)
    # a third of the way: 0.1 + 0.9 (1 + cos 60°) / 2 = 0.775
    assert rates[7] == pytest.approx(0.775)
    assert rates[4:] == sorted(rates[4:], reverse=True)


@pytest.mark.parametrize(
    ("name", "middle", "end"),
    [("cosine", 0.5, 0.0), ("linear", 0.5, 0.0), ("constant", 1.0, 1.0), ("constant_with_warmup", 1.0, 1.0)],
)
def test_other_schedules(name: str, middle: float, end: float) -> None:
    rates = [learning_rate(s, total_steps=11, warmup=0, peak=1.0, name=name) for s in (5, 10)]
    assert rates == pytest.approx([middle, end])


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(UserError, match="cosine_with_min_lr"):
        learning_rate(0, total_steps=1, warmup=0, peak=1.0, name="polynomial")


def test_warm_up_is_rounded_up() -> None:
    assert [warmup_steps(n, 0.03) for n in (1, 33, 34, 100)] == [1, 1, 2, 3]
