"""The properties that every implementation of InTRO has, without DeepSpeed."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from configuring import rl_config
from openrlhf.experience.example import Example
from openrlhf.experience.micro_batch import collate
from openrlhf.methods.intro import Intro, IntroObjective, intro_loss
from openrlhf.models.actor import Actor
from openrlhf.models.ragged import RaggedRows
from openrlhf.models.scorer import ScoringHead
from openrlhf.models.scores import Scores, ScoreSpec
from openrlhf.trainer.learner import Learner
from openrlhf.utils.tally import Tally
from toy_models import toy_model

CPU = torch.device("cpu")


def token_weights(lengths: list[int], aggregation: str) -> list[float]:
    method = Intro(loss_aggregation=aggregation)
    return method.weights(lengths, rl_config())


def make_examples(count: int = 5, hint: tuple[int, ...] = (35, 36, 37), aggregation: str = "seq-mean") -> list[Example]:
    generator = torch.manual_seed(3)
    rows = []
    for _ in range(count):
        sizes = torch.randint(1, 9, (2,), generator=generator).tolist()
        rows.append([torch.randint(0, 256, (size,), generator=generator).tolist() for size in sizes])
    weights = token_weights([len(response) for _, response in rows], aggregation)
    return [
        Example(
            ids=tuple(prompt + response),
            scored=tuple(range(len(prompt), len(prompt) + len(response))),
            weight=weight,
            hints=(hint,),
            hint_at=len(prompt),
            seed=index,
        )
        for index, ((prompt, response), weight) in enumerate(zip(rows, weights, strict=True))
    ]


def run(actor: Actor, examples: list[Example], config: Intro, chunk_size: int = 512) -> tuple[float, Tally]:
    """One micro-batch with the online posterior; gradients add up in the actor's parameters."""
    objective = IntroObjective(config)
    batch = collate(examples, CPU, num_candidates=objective.num_candidates, with_posterior=True)
    with torch.no_grad():
        posterior = actor(batch.posterior_rows)
    tally = Tally()
    spec = replace(objective.spec(batch), chunk_size=chunk_size)
    loss = objective.loss(Scores(*actor(batch.rows, spec, posterior)), batch, tally)
    loss.backward()
    return float(loss.detach()), tally


def gradients(actor: Actor) -> torch.Tensor:
    flat = torch.cat([p.grad.flatten() for p in actor.parameters()])
    actor.zero_grad(set_to_none=True)
    return flat


@pytest.mark.parametrize("clip_max", [200.0, 1.0])
def test_equal_logits_give_unit_weights_and_the_mean_candidate_likelihood(clip_max: float) -> None:
    head = ScoringHead(6, 17, bias=False)
    hidden = torch.randn(5, 6)
    spec = ScoreSpec(torch.randint(0, 17, (5,)), torch.rand(5, 4), top_k=8)
    scores = Scores(*head(hidden, spec, hidden))
    loss, w = intro_loss(scores, torch.full((5,), 0.2), Intro(clip_max=clip_max))
    torch.testing.assert_close(w, torch.ones(5, 4))
    torch.testing.assert_close(loss, -scores.candidate_logprobs.mean())


def test_the_exact_form_has_gradient_q_minus_p() -> None:
    """An identity output layer makes the hidden state the logits, so that the gradient can be read off."""
    head = ScoringHead(7, 7, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.eye(7))
    logits = torch.randn(6, 7, requires_grad=True)
    posterior = torch.randn(6, 7)
    lengths, kept = [2, 4], 2
    weights = torch.tensor(token_weights(lengths, "seq-mean")).repeat_interleave(torch.tensor(lengths))
    scores = Scores(*head(logits, ScoreSpec(torch.zeros(6, dtype=torch.long), cross_entropy=True), posterior))
    loss, _ = intro_loss(scores, weights, Intro(estimator="exact"))
    loss.backward()
    size = torch.tensor(lengths).repeat_interleave(torch.tensor(lengths))[:, None]
    expected = (torch.softmax(logits.detach(), -1) - torch.softmax(posterior, -1)) / (kept * size)
    torch.testing.assert_close(logits.grad, expected, rtol=1e-5, atol=1e-7)


def test_the_sampled_gradient_is_unbiased_without_cut_forcing_and_clip() -> None:
    torch.manual_seed(0)
    head = ScoringHead(9, 9, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.eye(9))
    logits, posterior = torch.randn(1, 9), torch.randn(1, 9)
    draws = 40_000
    hidden = logits.repeat(draws, 1).requires_grad_()
    spec = ScoreSpec(torch.zeros(draws, dtype=torch.long), torch.rand(draws, 2), top_k=0, force_target=False)
    scores = Scores(*head(hidden, spec, posterior.repeat(draws, 1)))
    loss, _ = intro_loss(scores, torch.ones(draws), Intro(clip_max=math.inf))
    (samples,) = torch.autograd.grad(loss, hidden)
    exact = torch.softmax(logits, -1) - torch.softmax(posterior, -1)
    error = samples.mean(0) - exact[0]
    standard_error = samples.std(0) / draws**0.5
    assert (error.abs() < 4.5 * standard_error).all()
    assert standard_error.max() < 0.02  # the bound above means something


def test_a_hand_computed_case() -> None:
    """Vocabulary of 4, two positions, two candidates each; worked out on paper.

    Position 1: q = (1/2, 1/4, 1/8, 1/8), p = (1/4, 1/2, 1/8, 1/8); candidates 0 and 1: w = 1/2, 2.
    Position 2: q = (1/4, 1/4, 1/4, 1/4), p = (7/10, 1/10, 1/10, 1/10); candidates 0 and 0: w = 2.8, clipped to 2.5.
    L = −1/(1·2·2) [1/2 ln 1/2 + 2 ln 1/4 + 2.5 ln 1/4 + 2.5 ln 1/4]
      = 1/4 [1/2 + 4 + 5 + 5] ln 2 = 3.625 ln 2 = 2.51266…
    """
    head = ScoringHead(4, 4, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.eye(4))
    q = torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.25, 0.25, 0.25, 0.25]])
    p = torch.tensor([[0.25, 0.5, 0.125, 0.125], [0.7, 0.1, 0.1, 0.1]])
    uniforms = torch.tensor([[0.4, 0.6], [0.1, 0.2]])  # quantiles of q in vocabulary order
    spec = ScoreSpec(torch.tensor([0, 0]), uniforms, top_k=0)
    scores = Scores(*head(q.log(), spec, p.log()))
    assert scores.candidates.tolist() == [[0, 1], [0, 0]]
    weights = torch.tensor(token_weights([2], "seq-mean")).repeat(2)
    loss, w = intro_loss(scores, weights, Intro(clip_max=2.5))
    torch.testing.assert_close(w, torch.tensor([[0.5, 2.0], [2.5, 2.5]]))
    assert float(loss.detach()) == pytest.approx(3.625 * math.log(2), rel=1e-6)
    # KL(p‖q) = 1/4 ln 1/2 + 1/2 ln 2 = 1/4 ln 2, and 0.7 ln 2.8 + 0.3 ln 0.4
    expected = [0.25 * math.log(2), 0.7 * math.log(2.8) + 0.3 * math.log(0.4)]
    assert scores.kl.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("estimator", ["sampled", "exact"])
def test_the_posterior_row_gets_no_gradient(estimator: str) -> None:
    head = ScoringHead(6, 17, bias=False)
    hidden = torch.randn(5, 6, requires_grad=True)
    posterior = torch.randn(5, 6, requires_grad=True)
    spec = ScoreSpec(torch.zeros(5, dtype=torch.long), torch.rand(5, 3), cross_entropy=estimator == "exact")
    loss, w = intro_loss(Scores(*head(hidden, spec, posterior)), torch.ones(5), Intro(estimator=estimator))
    loss.backward()
    assert posterior.grad is None
    assert not w.requires_grad
    assert hidden.grad.abs().sum() > 0


def test_rows_of_weight_zero_leave_every_gradient_bit_identical() -> None:
    actor = Actor(toy_model(), packed=False)
    examples = make_examples(3)
    run(actor, examples, Intro())
    without = gradients(actor)
    run(actor, examples, Intro())
    wrong = Example(ids=(1, 2, 3, 4), scored=(2, 3), weight=0.0, hints=((5,),), hint_at=2, seed=9)
    run(actor, [wrong], Intro())
    assert torch.equal(gradients(actor), without)


@pytest.mark.parametrize("estimator", ["sampled", "exact"])
@pytest.mark.parametrize("aggregation", ["seq-mean", "token-mean"])
def test_packed_padded_single_rows_and_chunk_sizes_agree(estimator: str, aggregation: str) -> None:
    config = Intro(estimator=estimator)
    examples = make_examples(aggregation=aggregation)
    model = toy_model()
    results = []
    for packed in (True, False):
        actor = Actor(model, packed=packed)
        for chunk_size in (1, 7, 64, 0):
            results.append((run(actor, examples, config, chunk_size)[0], gradients(actor)))
        results.append((sum(run(actor, [example], config)[0] for example in examples), gradients(actor)))
    loss, gradient = results[0]
    for other_loss, other_gradient in results[1:]:
        assert other_loss == pytest.approx(loss, rel=1e-5)
        torch.testing.assert_close(other_gradient, gradient, rtol=1e-4, atol=2e-5)


def test_the_hint_reaches_the_posterior_between_prompt_and_rationale() -> None:
    example = Example(ids=(1, 2, 3, 4), scored=(2, 3), weight=1.0, hints=((8, 9),), hint_at=2)
    assert list(example.hinted()) == [([1, 2, 8, 9, 3, 4], [4, 5])]
    # with an empty hint both rows are the same, so w = 1
    actor = Actor(toy_model())
    _, tally = run(actor, make_examples(hint=()), Intro())
    metrics = tally.metrics()
    assert metrics["w_mean"] == pytest.approx(1.0, abs=1e-5)
    assert metrics["kl_posterior"] == pytest.approx(0.0, abs=1e-6)


def test_weights_normalise_over_sequences_or_tokens() -> None:
    assert token_weights([2, 8], "seq-mean") == [1 / 4, 1 / 16]
    assert token_weights([2, 8], "token-mean") == [1 / 10, 1 / 10]


def test_the_exact_form_draws_no_candidates_and_has_no_figures_of_them() -> None:
    actor = Actor(toy_model())
    assert IntroObjective(Intro(estimator="exact")).num_candidates == 0
    _, tally = run(actor, make_examples(), Intro(estimator="exact"))
    metrics = IntroObjective(Intro(estimator="exact")).figures(tally)
    assert not [name for name in metrics if name.startswith("w_")]
    assert metrics["kl_posterior"] > 0


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_kl_against_a_reference_is_taken_at_the_temperature_of_the_loss(temperature: float) -> None:
    """Between equal models it is zero, whatever the temperature."""
    actor = Actor(toy_model())
    objective = IntroObjective(Intro(temperature=temperature), kl="k3")

    class Reference:
        def logprobs(self, rows: RaggedRows, temperature: float = 1.0) -> torch.Tensor:
            with torch.no_grad():
                return Scores(*actor(rows, ScoreSpec(rows.targets, temperature=temperature))).target_logprobs

    learner: Any = Learner.__new__(Learner)
    learner.device, learner.reference, learner.objective = CPU, Reference(), objective
    batch = learner._collate(objective, make_examples(), {"kl_coef": 1.0})
    with torch.no_grad():
        scores = Scores(*actor(batch.rows, objective.spec(batch), actor(batch.posterior_rows)))
    tally = Tally()
    objective.loss(scores, batch, tally)
    assert tally.metrics()["kl"] == pytest.approx(0.0, abs=1e-6)
    aside = learner.reference_outputs([make_examples()])
    flat = [value for values in aside[0] for value in values]
    assert flat == pytest.approx(scores.target_logprobs.tolist(), abs=1e-5)


class RefusedOnCuda(TorchDispatchMode):
    """Operations that torch's list of those without a deterministic CUDA kernel names, as far as we might use them."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if (name == "cumsum" and args[0].is_floating_point() and not (kwargs or {}).get("dtype")) or name in (
            "histc",
            "put_",
            "kthvalue",
            "nll_loss_forward",
            "cumprod",
        ):
            raise RuntimeError(f"{func} has no deterministic kernel")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("top_k", [20, 0])
@pytest.mark.parametrize("estimator", ["sampled", "exact"])
def test_nothing_is_used_that_full_determinism_refuses_on_a_gpu(estimator: str, top_k: int) -> None:
    actor = Actor(toy_model())
    with RefusedOnCuda():
        loss, _ = run(actor, make_examples(), Intro(estimator=estimator, top_k=top_k))
    assert loss != 0
