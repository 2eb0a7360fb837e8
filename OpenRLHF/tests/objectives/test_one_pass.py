"""Losses that are sums over tokens: the gradient made while scoring against the one of a second pass."""

from dataclasses import dataclass, replace

import pytest
import torch

from configuring import rl_config
from openrlhf.experience.example import Example
from openrlhf.experience.micro_batch import MEASURE_EVERY, MicroBatch, collate
from openrlhf.methods.cispo import CISPO
from openrlhf.methods.dpo import DpoObjective
from openrlhf.methods.gspo import GSPO
from openrlhf.methods.intro import Intro, IntroObjective
from openrlhf.methods.kd import DistillObjective
from openrlhf.methods.opsd import OPSD
from openrlhf.methods.prm import ProcessObjective
from openrlhf.methods.rlcsd import RLCSD
from openrlhf.methods.rlsd import RLSD
from openrlhf.methods.sdpo import SDPO
from openrlhf.methods.srpo import SRPO
from openrlhf.models.actor import Actor
from openrlhf.models.scorer import ScoringHead
from openrlhf.models.scores import Scores, ScoreSpec
from openrlhf.objectives.base import Objective
from openrlhf.objectives.likelihood import LikelihoodObjective
from openrlhf.objectives.policy import PolicyObjective
from openrlhf.utils.tally import Tally
from toy_models import toy_model

OBJECTIVES: dict[str, Objective] = {
    "intro": IntroObjective(Intro()),
    "intro, hot, clipped, uncut, kl": IntroObjective(Intro(temperature=0.7, clip_max=1.0, top_k=0), "k3"),
    "exact intro": IntroObjective(Intro(estimator="exact")),
    "exact intro, kl": IntroObjective(Intro(estimator="exact"), "k2"),
    "policy": PolicyObjective(0.2, temperature=0.8),
    "policy, kl": PolicyObjective(0.2, kl="k3"),
    "likelihood": LikelihoodObjective(),
    "distillation": DistillObjective(0.4),
    "process": ProcessObjective(),
    "process, two tokens": ProcessObjective((43, 45)),
    "rlsd": RLSD(contrast=3).objective(rl_config("rlsd")),
    "rlcsd": RLCSD(scale=1.0).objective(rl_config("rlcsd")),
    "opsd": OPSD(contrast=3).objective(rl_config("opsd", temperature=0.8)),
    "sdpo": SDPO(top_k=20).objective(rl_config("sdpo")),
    "srpo": SRPO(top_k=20).objective(rl_config("srpo")),
    "intro, contrast": IntroObjective(Intro(contrast=3)),
    "cispo": CISPO().objective(rl_config("cispo")),
}
OF_ROWS: dict[str, Objective] = {"gspo": GSPO(eps_clip=0.2, eps_clip_high=0.3).objective(rl_config("gspo"))}
# How many hints the six rows have where a method takes several.
SEVERAL = (3, 1, 0, 2, 4, 2)
FIGURES = {"kl_coef": 0.1, "moved": 11.0, "others": 13.0, "distilled": 17.0, "sureness": 5.0}


def examples(several: bool) -> list[Example]:
    generator = torch.manual_seed(5)
    made = []
    for index in range(6):
        prompt, response = torch.randint(1, 12, (2,), generator=generator).tolist()
        ids = torch.randint(0, 256, (prompt + response,), generator=generator).tolist()
        drawn = torch.randn((6, response), generator=generator)
        columns = {
            "advantage": drawn[0].tolist(),
            "old_logprob": (drawn[1] * 0.3 - 5.5).tolist(),
            "reference": (drawn[2] * 0.3 - 5.5).tolist(),
            "engine": (drawn[2] * 0.3 - 5.5).tolist(),
            "hinted": drawn[3].tolist(),
            "contrast": drawn[4].tolist(),
            "hinted_entropy": drawn[5].abs().tolist(),
            "task": (drawn[5] > 0).float().tolist(),
            "label": torch.randint(0, 2, (response,), generator=generator).tolist(),
        }
        scored = tuple(range(prompt, prompt + response))
        weight = 0.0 if index == 3 else 1.0 / (6 * response)
        hints = tuple((35, 36 + k) for k in range(SEVERAL[index] if several else 1))
        made.append(Example(tuple(ids), scored, weight, hints, prompt, seed=index, columns=columns))
    return made


def gradients(
    objective: Objective,
    *,
    packed: bool,
    chunk_size: int,
    one_pass: bool,
    dtype: torch.dtype = torch.float32,
    several: bool = False,
    rows: slice = slice(None),
) -> tuple[float, torch.Tensor, Tally]:
    """Loss, all gradients of a toy policy with another toy as posterior, and what was tallied."""
    policy, other = (Actor(toy_model(seed).to(dtype), packed=packed) for seed in (0, 1))
    batch = collate(
        examples(several)[rows],
        torch.device("cpu"),
        num_candidates=objective.num_candidates,
        with_posterior=objective.needs_posterior,
        figures=FIGURES,
    )
    posterior: tuple = (None, None)
    if objective.needs_posterior:
        with torch.no_grad():
            posterior = (other(batch.posterior_rows), other.head)
    tally = Tally()

    def token_loss(scores: Scores, part: slice) -> torch.Tensor:
        return objective.loss(scores, batch.part(part), tally)

    spec = replace(objective.spec(batch), chunk_size=chunk_size, hinted=batch.hinted)
    outputs = policy(batch.rows, spec, *posterior, token_loss if one_pass else None)
    loss = outputs[-1] if one_pass else objective.loss(Scores(*outputs), batch, tally)
    (3.0 * loss).backward()
    return float(loss.detach()), torch.cat([p.grad.flatten() for p in policy.parameters()]), tally


@pytest.mark.parametrize("name", OBJECTIVES)
def test_loss_gradient_and_figures_equal_those_of_two_passes(name: str) -> None:
    objective = OBJECTIVES[name]
    assert objective.sums_over_tokens
    for packed in (True, False):
        for chunk_size in (1, 7, 64, 0):
            loss, gradient, tally = gradients(objective, packed=packed, chunk_size=chunk_size, one_pass=False)
            found = gradients(objective, packed=packed, chunk_size=chunk_size, one_pass=True)
            assert found[0] == pytest.approx(loss, rel=1e-6, abs=1e-7)  # positive and negative terms of policies cancel
            assert float((found[1] - gradient).norm()) <= 1e-6 * float(gradient.norm())
            assert objective.figures(found[2]) == pytest.approx(objective.figures(tally), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", ["rlsd", "opsd", "sdpo", "srpo", "intro, contrast", "exact intro", "gspo"])
def test_a_gradient_from_several_hints_does_not_depend_on_how_rows_are_batched(name: str) -> None:
    """Packed, padded, in chunks, and one row at a time, of which one has no hint and another weight zero."""
    objective = {**OBJECTIVES, **OF_ROWS}[name]
    one_pass = objective.sums_over_tokens
    whole = gradients(objective, packed=True, chunk_size=0, one_pass=one_pass, several=True)
    assert float(whole[1].norm()) > 1e-3
    for packed, chunk_size in ((True, 7), (False, 1), (False, 64)):
        other = gradients(objective, packed=packed, chunk_size=chunk_size, one_pass=one_pass, several=True)
        assert other[0] == pytest.approx(whole[0], rel=1e-4, abs=1e-6)
        torch.testing.assert_close(other[1], whole[1], rtol=1e-4, atol=2e-5)
    parts = [
        gradients(objective, packed=False, chunk_size=5, one_pass=one_pass, several=True, rows=slice(i, i + 1))
        for i in range(len(SEVERAL))
    ]
    assert sum(part[0] for part in parts) == pytest.approx(whole[0], rel=1e-4, abs=1e-6)
    torch.testing.assert_close(sum(part[1] for part in parts), whole[1], rtol=1e-4, atol=2e-5)


def test_bf16_gradients_differ_by_their_rounding() -> None:
    objective = OBJECTIVES["intro"]
    exact = gradients(objective, packed=True, chunk_size=0, one_pass=False)[1]
    rounded = gradients(objective, packed=True, chunk_size=7, one_pass=True, dtype=torch.bfloat16)[1].float()
    two_passes = gradients(objective, packed=True, chunk_size=7, one_pass=False, dtype=torch.bfloat16)[1].float()
    assert float((rounded - two_passes).norm() / two_passes.norm()) < 0.03
    assert float((rounded - exact).norm() / exact.norm()) < 0.1


def test_a_frozen_output_layer_gets_no_gradient_and_the_hidden_states_get_theirs() -> None:
    head = ScoringHead(5, 13)
    head.requires_grad_(False)
    hidden = torch.randn(9, 5, requires_grad=True)
    targets = torch.arange(9)
    scores = head(hidden, ScoreSpec(targets, chunk_size=4), None, None, lambda scores, _: scores.target_logprobs.sum())
    scores[-1].backward()
    expected = torch.nn.functional.cross_entropy(head(hidden), targets, reduction="sum")
    (gradient,) = torch.autograd.grad(-expected, hidden)
    torch.testing.assert_close(hidden.grad, gradient)
    assert head.weight.grad is None
    assert not any(field.requires_grad for field in scores[:-1])


def test_the_gradient_of_no_token_is_zero() -> None:
    head, hidden = ScoringHead(5, 13), torch.randn(0, 5, requires_grad=True)
    spec = ScoreSpec(torch.zeros(0, dtype=torch.long))
    loss = head(hidden, spec, None, None, lambda scores, _: scores.target_logprobs.sum())[-1]
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert torch.equal(head.weight.grad, torch.zeros(13, 5))


def test_a_second_backward_pass_is_refused() -> None:
    head, hidden = ScoringHead(5, 13), torch.randn(3, 5, requires_grad=True)
    spec = ScoreSpec(torch.arange(3))
    loss = head(hidden, spec, None, None, lambda scores, _: scores.target_logprobs.sum())[-1]
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="used up"):
        loss.backward()


def test_the_softmax_that_overwrites_its_input_is_the_plain_one() -> None:
    """torch does not promise that `out` may be the input; the scorer relies on it on the CPU."""
    for shape in ((1, 1), (3, 17), (2, 151_936), (300, 1000)):
        logits = torch.randn(shape, generator=torch.manual_seed(0)) * 8
        plain = torch.softmax(logits.double(), 1).float()
        torch.testing.assert_close(torch.softmax(logits, 1, out=logits), plain, rtol=1e-5, atol=1e-12)


def test_a_token_that_a_bias_excludes_costs_nothing() -> None:
    head, teacher = ScoringHead(5, 13), ScoringHead(5, 13)
    with torch.no_grad():
        for layer in (head, teacher):
            layer.bias[4] = -torch.inf
    hidden = torch.randn(3, 5, requires_grad=True)
    spec = ScoreSpec(torch.arange(3), cross_entropy=True)
    outputs = head(hidden, spec, torch.randn(3, 5), teacher, lambda scores, _: scores.cross_entropy.sum())
    outputs[-1].backward()
    assert torch.isfinite(outputs[-1])
    assert torch.isfinite(hidden.grad).all()
    assert torch.isfinite(Scores(*outputs[:-1]).kl).all()


@dataclass(frozen=True)
class SequenceRatio(PolicyObjective):
    """Wrongly inherits `sums_over_tokens`."""

    def advantages(self, scores: Scores, batch: MicroBatch) -> torch.Tensor:
        return batch.row_means(scores.target_logprobs)[batch.token_rows]


def test_an_objective_that_sums_over_rows_is_told_so() -> None:
    assert not DpoObjective().sums_over_tokens
    with pytest.raises(RuntimeError, match="set it to False"):
        gradients(SequenceRatio(0.2), packed=True, chunk_size=7, one_pass=True)


def test_every_eighth_token_is_measured_from_a_start_that_the_seed_says() -> None:
    rows = [Example((1,) * 21, tuple(range(1, 21)), 1.0, seed=seed) for seed in range(MEASURE_EVERY)]
    batch = collate(rows, torch.device("cpu"))
    per_token = batch.measured.view(MEASURE_EVERY, 20).sum(0)
    assert per_token.tolist() == [1] * 20  # over all starts every place of a row is measured equally often
    apart = torch.cat([collate([row], torch.device("cpu")).measured for row in rows])
    assert torch.equal(apart, batch.measured)


def test_entropy_and_kl_are_computed_where_they_are_asked_for_alone() -> None:
    head = ScoringHead(5, 13)
    hidden, posterior = torch.randn(6, 5), torch.randn(6, 5)
    targets = torch.zeros(6, dtype=torch.long)
    everywhere = Scores(*head(hidden, ScoreSpec(targets), posterior))
    mask = torch.tensor([True, False, False, True, True, False])
    some = Scores(*head(hidden, ScoreSpec(targets, measured=mask, chunk_size=4), posterior))
    for whole, part in ((everywhere.entropy, some.entropy), (everywhere.kl, some.kl)):
        torch.testing.assert_close(part[mask], whole[mask])
        assert part[~mask].isnan().all()


def test_bf16_log_probabilities_are_right_where_probabilities_are() -> None:
    """Against float32 arithmetic on the same bf16 numbers, at logits of deviation 8."""
    generator = torch.manual_seed(0)
    hidden = torch.randn(64, 256, generator=generator).bfloat16()
    head = ScoringHead(256, 20_000, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.randn(20_000, 256, generator=generator) * 0.5)
    head.bfloat16()
    logits = hidden.float() @ head.weight.detach().float().T
    targets = torch.cat([logits[:32].argmax(1), torch.randint(0, 20_000, (32,), generator=generator)])
    exact = logits.log_softmax(1).gather(1, targets[:, None])[:, 0]
    found = Scores(*head(hidden, ScoreSpec(targets, measured=False))).target_logprobs.detach()
    assert float((found - exact).abs().max()) < 2e-3
