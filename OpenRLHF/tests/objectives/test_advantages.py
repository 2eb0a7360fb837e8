"""Advantages and the losses that use them, worked out by hand."""

import math
from dataclasses import replace

import pytest
import torch

from openrlhf.experience.example import Example, idle_example
from openrlhf.experience.micro_batch import MicroBatch, collate
from openrlhf.methods.policy_gradient import PolicyGradient
from openrlhf.methods.registry import METHODS
from openrlhf.models.scores import Scores
from openrlhf.objectives.advantages import (
    discounted_returns,
    generalised_advantages,
    normalised,
    token_rewards,
)
from openrlhf.objectives.kl import approximate_kl
from openrlhf.objectives.policy import PolicyObjective
from openrlhf.objectives.value import ValueObjective
from openrlhf.trainer.kl_controller import adapted
from openrlhf.utils.tally import Tally

NAN = float("nan")


def outcomes(rewards: list[float], estimator: str) -> list[float]:
    method = next(kind for kind in METHODS if kind.name == estimator)
    assert issubclass(method, PolicyGradient)
    return method().compared(rewards)


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        ("gae", [1.0, 0.0, 0.0, 1.0]),
        ("reinforce", [1.0, 0.0, 0.0, 1.0]),
        # the others' means: 1/3, 2/3, 2/3, 1/3
        ("rloo", [2 / 3, -2 / 3, -2 / 3, 2 / 3]),
        ("reinforce_baseline", [0.5, -0.5, -0.5, 0.5]),
        ("dr_grpo", [0.5, -0.5, -0.5, 0.5]),
        # sample standard deviation √(4 · 0.25 / 3) = 1/√3
        ("group_norm", [math.sqrt(3) / 2, -math.sqrt(3) / 2, -math.sqrt(3) / 2, math.sqrt(3) / 2]),
    ],
)
def test_outcomes_of_a_group_with_two_right_and_two_wrong(estimator: str, expected: list[float]) -> None:
    assert outcomes([1.0, 0.0, 0.0, 1.0], estimator) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("estimator", ["rloo", "reinforce_baseline", "dr_grpo", "group_norm"])
def test_equal_rewards_teach_nothing(estimator: str) -> None:
    assert outcomes([0.1, 0.1, 0.1], estimator) == pytest.approx([0, 0, 0], abs=1e-6)


def test_a_failed_grade_stays_unknown_and_is_left_out_of_the_mean() -> None:
    found = outcomes([1.0, NAN, 0.0], "reinforce_baseline")
    assert found[0] == 0.5
    assert math.isnan(found[1])
    assert found[2] == -0.5


def test_a_response_without_any_other_has_no_advantage() -> None:
    assert outcomes([1.0, NAN], "rloo")[0] == 0.0


def test_kl_is_paid_at_every_token_and_the_outcome_at_the_last() -> None:
    assert token_rewards(1.0, torch.tensor([0.5, 1.0]), 0.1, 2).tolist() == pytest.approx([-0.05, 0.9])
    assert token_rewards(2.0, None, 0.1, 3).tolist() == [0.0, 0.0, 2.0]


def test_discounted_returns() -> None:
    # 1 + 0.5 (2 + 0.5 · 4), 2 + 0.5 · 4, 4
    assert discounted_returns(torch.tensor([1.0, 2.0, 4.0]), 0.5).tolist() == [3.0, 4.0, 4.0]


def test_generalised_advantages_by_hand() -> None:
    """r = (0, 0, 1), v = (0.5, 0.25, 0.75), γ = 0.9, λ = 0.5: δ = (−0.275, 0.425, 0.25); A₂ = 0.25,
    A₁ = 0.425 + 0.45 · 0.25 = 0.5375, A₀ = −0.275 + 0.45 · 0.5375 = −0.033125."""
    values = torch.tensor([0.5, 0.25, 0.75])
    advantages, returns = generalised_advantages(torch.tensor([0.0, 0.0, 1.0]), values, 0.9, 0.5)
    assert advantages.tolist() == pytest.approx([-0.033125, 0.5375, 0.25])
    assert returns.tolist() == pytest.approx([0.466875, 0.7875, 1.0])


def test_with_lambda_1_advantages_are_returns_minus_values() -> None:
    rewards, values = torch.randn(7), torch.randn(7)
    advantages, returns = generalised_advantages(rewards, values, 0.97, 1.0)
    torch.testing.assert_close(returns, discounted_returns(rewards, 0.97))
    torch.testing.assert_close(advantages, discounted_returns(rewards, 0.97) - values)


def test_normalised_advantages_have_mean_0_and_deviation_1_over_all_tokens() -> None:
    flat = torch.cat(normalised([torch.tensor([1.0, 3.0]), torch.tensor([5.0])]))
    # mean 3, variance 8/3
    assert flat.tolist() == pytest.approx([-2 / math.sqrt(8 / 3), 0.0, 2 / math.sqrt(8 / 3)])
    assert torch.cat(normalised([torch.ones(3)])).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("estimator", "expected"), [("k1", 0.4), ("k2", 0.08), ("k3", math.exp(-0.4) - 1 + 0.4)])
def test_estimators_of_kl(estimator: str, expected: float) -> None:
    found = approximate_kl(torch.tensor(-1.0), torch.tensor(-1.4), estimator)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_kl_weight_moves_towards_the_target_by_a_bounded_step() -> None:
    assert adapted(0.1, 5.0, None, 1000) == 0.1
    assert adapted(0.1, 1.1, 1.0, 1000) == pytest.approx(0.1 * (1 + 0.1 * 0.1))
    assert adapted(0.1, 9.0, 1.0, 1000) == pytest.approx(0.1 * (1 + 0.2 * 0.1))
    assert adapted(0.1, 0.0, 1.0, 1000) == pytest.approx(0.1 * (1 - 0.2 * 0.1))


def batch_of(columns: dict[str, list[float]], weights: tuple[float, float] = (0.25, 0.5)) -> MicroBatch:
    """Two responses, of two tokens and of one."""
    rows = [
        Example((1, 2, 3), (1, 2), weights[0], columns={name: values[:2] for name, values in columns.items()}),
        Example((1, 2), (1,), weights[1], columns={name: values[2:] for name, values in columns.items()}),
    ]
    return collate(rows, torch.device("cpu"))


def scores_of(logprobs: torch.Tensor) -> Scores:
    none = torch.zeros_like(logprobs)
    return Scores(logprobs, *(9 * [none]))


def test_the_clipped_objective_by_hand() -> None:
    """Ratios 1.5, 0.5 and 1.5 with ε = 0.2 and advantages 1, 1 and −1: the first is cut to 1.2, the others stay
    (min of 0.5 and 0.8; min of −1.5 and −1.2). L = −(0.25 · 1.2 + 0.25 · 0.5 − 0.5 · 1.5) = 0.325."""
    old = torch.tensor([-1.0, -2.0, -0.5])
    logprobs = (old + torch.tensor([1.5, 0.5, 1.5]).log()).requires_grad_()
    batch = batch_of({"advantage": [1.0, 1.0, -1.0], "old_logprob": old.tolist()})
    tally = Tally()
    loss = PolicyObjective(0.2).loss(scores_of(logprobs), batch, tally)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.325)
    # no gradient where the ratio was cut; −c · ρ · A elsewhere
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([0.0, -0.125, 0.75])
    assert tally.metrics()["clipped_share"] == pytest.approx(1 / 3)
    assert tally.metrics()["ratio_max"] == pytest.approx(1.5)


def test_a_kl_loss_has_a_gradient_and_counts_tokens_as_the_loss_does() -> None:
    old = torch.tensor([-1.0, -2.0, -0.5])
    reference = [-1.5, -2.0, -0.25]
    logprobs = old.clone().requires_grad_()
    columns = {"advantage": [0.0] * 3, "old_logprob": old.tolist(), "reference": reference}
    batch = replace(batch_of(columns), figures={"kl_coef": 2.0})
    objective = PolicyObjective(0.2, kl="k2")
    assert objective.needs_reference
    loss = objective.loss(scores_of(logprobs), batch, Tally())
    loss.backward()
    # 2 · (0.25 · 0.5²/2 + 0.25 · 0 + 0.5 · 0.25²/2), and its derivative 2 · c · (log-ratio)
    assert float(loss.detach()) == pytest.approx(2 * (0.25 * 0.125 + 0.5 * 0.03125))
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([0.25, 0.0, -0.25])


def test_the_value_loss_by_hand() -> None:
    """Values 1.0, 0.0, 2.0 from old 0.5, 0.0, 0.0 to returns 2.0, 1.0, 0.0 with ε = 0.2: clipped to 0.7, 0.0, 0.2.
    Squares: max(1, 1.69), max(1, 1), max(4, 0.04)."""
    values = torch.tensor([1.0, 0.0, 2.0], requires_grad=True)
    batch = batch_of({"value": [0.5, 0.0, 0.0], "return": [2.0, 1.0, 0.0]})
    loss = ValueObjective(0.2).loss(values, batch, Tally())
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.5 * (0.25 * 1.69 + 0.25 * 1.0 + 0.5 * 4.0))
    assert values.grad is not None
    assert values.grad.tolist() == pytest.approx([0.0, -0.25, 1.0])


def test_idle_rows_change_neither_loss_nor_figures() -> None:
    columns = {"advantage": [1.0, 1.0, -1.0], "old_logprob": [-1.0, -2.0, -0.5]}
    batch = batch_of(columns)
    idle = idle_example(columns)
    first = Example((1, 2, 3), (1, 2), 0.25, columns={n: v[:2] for n, v in columns.items()})
    second = Example((1, 2), (1,), 0.5, columns={n: v[2:] for n, v in columns.items()})
    padded = collate([first, second, idle], torch.device("cpu"))
    logprobs = torch.tensor([-1.1, -1.9, -0.4])
    one, two = Tally(), Tally()
    expected = PolicyObjective(0.2).loss(scores_of(logprobs), batch, one)
    found = PolicyObjective(0.2).loss(scores_of(torch.cat([logprobs, torch.tensor([-9.0])])), padded, two)
    assert float(found) == pytest.approx(float(expected))
    assert two.metrics() == pytest.approx(one.metrics())


def test_a_row_without_a_column_that_others_have_is_an_error() -> None:
    rows = [Example((1, 2), (1,), 1.0, columns={"advantage": [1.0]}), Example((1, 2), (1,), 1.0)]
    with pytest.raises(ValueError, match="column 'advantage' has 0 numbers for 1 scored tokens"):
        collate(rows, torch.device("cpu"))
