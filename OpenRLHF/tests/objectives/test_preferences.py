"""Losses of reward models, DPO and KTO against values worked out by hand."""

import math
from dataclasses import replace
from statistics import stdev

import pytest
import torch
from torch import Tensor, tensor

from openrlhf.experience.example import Example, idle_example
from openrlhf.experience.micro_batch import MicroBatch, collate
from openrlhf.methods.dpo import DpoObjective, dpo_loss
from openrlhf.methods.kto import KtoObjective, kto_loss, mismatch
from openrlhf.methods.rm import RewardObjective, pairwise_loss
from openrlhf.models.scores import Scores
from openrlhf.objectives.base import AsideRow
from openrlhf.utils.tally import Tally

LN3 = math.log(3)  # σ(ln 3) = 3/4, σ(−ln 3) = 1/4


def batch(examples: list[Example], reference: Tensor | None = None) -> MicroBatch:
    made = collate(examples, torch.device("cpu"))
    if reference is not None:
        made.columns["reference"] = reference
    return made


def scores(target_logprobs: Tensor) -> Scores:
    return Scores(target_logprobs, *[torch.empty(0)] * 9)


def row(length: int = 3, response: int = 1, **changes: object) -> Example:
    settings: dict = {"ids": tuple(range(length)), "scored": tuple(range(length - response, length)), "weight": 1.0}
    return Example(**{**settings, **changes})


@pytest.mark.parametrize("loss", ["sigmoid", "logexp"])
def test_a_reward_ahead_by_ln_3_is_preferred_three_times_out_of_four(loss: str):
    losses = pairwise_loss(tensor([LN3, 0.0]), tensor([0.0, LN3]), torch.zeros(2), loss)
    torch.testing.assert_close(losses, tensor([-math.log(3 / 4), -math.log(1 / 4)]))


def test_a_margin_is_taken_off_the_difference():
    losses = pairwise_loss(tensor([2.0 + LN3]), tensor([0.0]), tensor([2.0]), "sigmoid")
    torch.testing.assert_close(losses, tensor([-math.log(3 / 4)]))


def test_the_pairwise_losses_do_not_overflow():
    for loss in ("sigmoid", "logexp"):
        assert pairwise_loss(tensor([-500.0]), tensor([500.0]), tensor([0.0]), loss).item() == 1000.0
    with pytest.raises(ValueError, match="unknown pairwise loss 'hinge': sigmoid or logexp"):
        pairwise_loss(tensor([0.0]), tensor([0.0]), tensor([0.0]), "hinge")


def test_a_reward_model_counts_every_pair_alike_and_idle_pairs_not_at_all():
    objective = RewardObjective(margin_loss=True)
    rows = objective.weighted([row(label=1.0), row(), row(label=0.0), row()])
    tally = Tally()
    rewards = tensor([1.0 + LN3, 0.0, -LN3, 0.0, 9.0, 9.0], requires_grad=True)
    loss = objective.loss(rewards, batch([*rows, idle_example(), idle_example()]), tally)
    torch.testing.assert_close(loss, tensor(-(math.log(3 / 4) + math.log(1 / 4)) / 2))
    loss.backward()
    # d/dr −log σ(Δ) = ∓(1 − σ(Δ)), halved by the mean
    torch.testing.assert_close(rewards.grad, tensor([-1 / 8, 1 / 8, -3 / 8, 3 / 8, 0.0, 0.0]))
    figures = objective.figures(tally)
    values = [1.0 + LN3, -LN3, 0.0, 0.0]
    assert figures == pytest.approx(
        {
            "acc": 0.5,
            "chosen_reward": 0.5,
            "reject_reward": 0.0,
            "reward_mean": sum(values) / 4,
            "reward_std": stdev(values),
        }
    )


def test_margins_are_left_alone_unless_asked_for():
    objective = RewardObjective()
    rows = objective.weighted([row(label=1.0), row()])
    loss = objective.loss(tensor([LN3, 0.0]), batch(rows), Tally())
    torch.testing.assert_close(loss, tensor(-math.log(3 / 4)))


def test_dpo_cdpo_and_ipo_at_a_difference_of_log_ratios():
    h = tensor([LN3 / 0.5])
    torch.testing.assert_close(dpo_loss(h, 0.5), tensor([-math.log(3 / 4)]))
    smoothed = -0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4)
    torch.testing.assert_close(dpo_loss(h, 0.5, label_smoothing=0.1), tensor([smoothed]))
    torch.testing.assert_close(dpo_loss(tensor([3.0]), 0.25, ipo=True), tensor([1.0]))  # (3 − 1/(2·0.25))²


def test_dpo_sums_log_ratios_over_each_response():
    """Two pairs, responses of 2 and 1 and of 1 and 3 tokens; h is 4 − 1 = 3 and −1 − 0 = −1."""
    objective = DpoObjective(beta=0.25, ipo=True)
    rows = objective.weighted([row(4, 2), row(3, 1), row(3, 1), row(5, 3)])
    reference = tensor([-2.0, -3.0, -1.5, -1.0, -1.0, -2.0, -3.0])
    policy = (reference + tensor([1.0, 3.0, 1.0, -1.0, 1.0, 1.0, -2.0])).requires_grad_()
    tally = Tally()
    loss = objective.loss(scores(policy), batch(rows, reference), tally)
    torch.testing.assert_close(loss, tensor((1.0 + 9.0) / 2))  # (3 − 2)², (−1 − 2)²
    loss.backward()
    # 2 (h − 2) / 2 pairs, for every token of the chosen response, and the negative for the rejected one
    torch.testing.assert_close(policy.grad, tensor([1.0, 1.0, -1.0, -3.0, 3.0, 3.0, 3.0]))
    assert tally.metrics() == pytest.approx({"acc": 0.5, "chosen_reward": 0.25 * 1.5, "reject_reward": 0.25 * 0.5})


def test_the_nll_term_averages_over_the_tokens_of_a_response_and_then_over_pairs():
    objective = DpoObjective(beta=0.1, nll_coef=2.0)
    rows = objective.weighted([row(4, 2), row(), row(3, 1), row()])
    policy = tensor([-1.0, -3.0, -7.0, -4.0, -7.0])
    tally = Tally()
    loss = objective.loss(scores(policy), batch(rows, policy.clone()), tally)
    torch.testing.assert_close(loss, tensor(math.log(2) + 2.0 * (2.0 + 4.0) / 2))
    assert tally.metrics()["nll_loss"] == 3.0


def test_kto_weighs_gains_and_losses_around_the_reference_point():
    ratios, desirable = tensor([LN3 / 0.5 + 1.0, LN3 / 0.5 + 1.0]), tensor([True, False])
    losses = kto_loss(ratios, desirable, 1.0, 0.5, (2.0, 3.0))
    torch.testing.assert_close(losses, tensor([2.0 * (1 - 3 / 4), 3.0 * (1 - 1 / 4)]))


def aside(rows: list[Example], policy: float, reference: float) -> list[AsideRow]:
    """Rows as two models score them that know one log-probability per token id."""
    return [AsideRow(e, [policy * e.ids[p] for p in e.scored], [reference * e.ids[p] for p in e.scored]) for e in rows]


def test_kto_estimates_its_kl_on_mismatched_rows_and_trains_on_the_others():
    objective = KtoObjective(beta=1.0)
    samples = [row(ids=(7, 5), scored=(1,), label=1.0), row(ids=(8, 2, 1), scored=(1, 2), label=0.0)]
    weighted = objective.weighted(samples)
    assert [e.ids for e in weighted] == [(7, 5), (7, 2, 1), (8, 2, 1), (8, 5)]
    trained, mismatched = objective.set_aside(weighted)
    assert (list(trained), list(mismatched)) == ([weighted[0], weighted[2]], [weighted[1], weighted[3]])
    assert [e.weight for e in trained] == [0.5, 0.5]
    figures = objective.step_figures(aside(mismatched, -0.5, -1.0))
    assert figures == {"kl": pytest.approx((0.5 * 3 + 0.5 * 5) / 2)}


def test_an_estimate_of_ktos_kl_below_zero_says_nothing():
    objective, rows = KtoObjective(beta=1.0), [row(label=1.0)]
    tally = Tally()
    objective.loss(scores(tensor([0.5])), replace(batch(rows, torch.zeros(1)), figures={"kl": -2.0}), tally)
    assert tally.metrics()["kl"] == 0.0


def test_kto_averages_over_the_batch_and_logs_rewards_by_label():
    objective = KtoObjective(beta=1.0, undesirable_weight=2.0)
    rows = [row(label=1.0, weight=0.5), row(4, 2, label=0.0, weight=0.5), idle_example()]
    policy = tensor([0.5 + LN3, 0.25, 0.25, 5.0], requires_grad=True)
    tally = Tally()
    loss = objective.loss(scores(policy), replace(batch(rows, torch.zeros(4)), figures={"kl": 0.5}), tally)
    torch.testing.assert_close(loss, tensor((1 / 4 + 2.0 * 1 / 2) / 2))
    loss.backward()
    # ∓ λ β σ' / B with σ'(ln 3) = 3/16 and σ'(0) = 1/4
    torch.testing.assert_close(policy.grad, tensor([-3 / 32, 1 / 4, 1 / 4, 0.0]))
    assert tally.metrics() == pytest.approx({"chosen_reward": 0.5 + LN3, "reject_reward": 0.5, "kl": 0.5})


def test_a_prompt_is_mismatched_with_the_next_response_to_another_prompt():
    a, b = (1,), (2,)
    rows = [row(ids=(*p, 10 + i), scored=(1,)) for i, p in enumerate([a, a, b, b])]
    found = mismatch(rows, 8)
    assert [e.ids for e in found] == [(1, 12), (1, 12), (2, 10), (2, 10)]
    assert all(e.weight == 0.25 and e.scored == (1,) for e in found)


def test_mismatched_rows_are_cut_at_the_length_limit():
    rows = [row(ids=(1, 1, 1, 5), scored=(3,)), row(ids=(2, 6, 7, 8), scored=(1, 2, 3))]
    assert [e.ids for e in mismatch(rows, 5)] == [(1, 1, 1, 6, 7), (2, 5)]


def test_a_batch_with_a_single_prompt_has_nothing_to_mismatch_and_a_kl_of_zero():
    objective = KtoObjective()
    weighted = objective.weighted([row(ids=(1, 5), scored=(1,)), row(ids=(1, 6), scored=(1,))])
    assert [e.weight for e in weighted] == [0.5, 0.0, 0.5, 0.0]
    assert objective.step_figures(aside(list(objective.set_aside(weighted)[1]), -0.5, -1.0)) == {"kl": 0.0}
