"""Weights for tokens that another policy sampled, against numbers worked out by hand."""

import math

import pytest
import torch

from openrlhf.experience.example import Example
from openrlhf.experience.micro_batch import MicroBatch, collate
from openrlhf.models.scores import Scores
from openrlhf.objectives.correction import BEHAVIOUR, Correction
from openrlhf.objectives.policy import PolicyObjective
from openrlhf.utils.tally import Tally

RATIOS = (0.4, 0.5, 1.0, 1.9, 2.1, 6.0)


def batch(**columns: tuple[float, ...]) -> MicroBatch:
    row = Example(tuple(range(7)), tuple(range(1, 7)), weight=0.5, columns=columns)
    return collate([row], torch.device("cpu"))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("tis", (0.4, 0.5, 1.0, 1.9, 2.0, 2.0)), ("icepop", (0.0, 0.5, 1.0, 1.9, 2.1, 0.0))],
)
def test_ratios_are_cut_or_dropped(kind: str, expected: tuple[float, ...]) -> None:
    correction, tally = Correction(kind, 2.0, 0.499, 5.0), Tally()
    behaviour = tuple(-1.0 - math.log(ratio) for ratio in RATIOS)
    logprobs = torch.full((6,), -1.0)
    found = correction.applied(logprobs, batch(**{BEHAVIOUR: behaviour}), tally)
    assert found.token_weights.tolist() == pytest.approx([0.5 * w for w in expected], abs=1e-6)
    figures = tally.metrics()
    assert figures["behaviour_ratio"] == pytest.approx(sum(RATIOS) / 6, abs=1e-6)
    assert figures["behaviour_ratio_max"] == pytest.approx(6.0, abs=1e-5)
    assert figures["corrected_share"] == pytest.approx(2 / 6)


def test_the_policy_before_the_update_is_compared_with_the_sampler_where_it_is_known() -> None:
    known = batch(**{BEHAVIOUR: (-2.0,) * 6, "old_logprob": (-1.5,) * 6})
    moved = torch.full((6,), -0.1)  # in later updates of a step the clipped ratio measures this part
    weights = Correction("tis", 9.0, 0.5, 5.0).applied(moved, known, Tally()).token_weights
    assert weights.tolist() == pytest.approx([0.5 * math.exp(0.5)] * 6)


def test_a_batch_that_does_not_say_who_sampled_it_stays_as_it_is() -> None:
    plain = batch()
    assert Correction("tis", 2.0, 0.5, 5.0).applied(torch.zeros(6), plain, Tally()) is plain


def test_the_gradient_of_a_policy_gradient_is_the_weighted_one() -> None:
    """∇ L = − c · min(ρ, C) · A · ∇ log π(z) per token, and nothing flows through ρ."""
    advantages, behaviour = (1.0, -1.0, 2.0, 0.5, -0.5, 1.0), tuple(-1.0 - math.log(r) for r in RATIOS)
    known = batch(advantage=advantages, **{BEHAVIOUR: behaviour})
    logprobs = torch.full((6,), -1.0, requires_grad=True)
    corrected = Correction("tis", 2.0, 0.5, 5.0).applied(logprobs, known, Tally())
    scores = Scores(**{name: torch.zeros(6) for name in Scores._fields})._replace(target_logprobs=logprobs)
    PolicyObjective(0.2).loss(scores, corrected, Tally()).backward()
    expected = [-0.5 * min(r, 2.0) * a for r, a in zip(RATIOS, advantages, strict=True)]
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx(expected, abs=1e-6)
