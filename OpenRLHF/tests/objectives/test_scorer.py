"""The chunked scorer against the plain way: full logits, log_softmax, autograd."""

import pytest
import torch

from openrlhf.models.actor import Actor
from openrlhf.models.ragged import RaggedRows
from openrlhf.models.scorer import ScoringHead, draw_candidates
from openrlhf.models.scores import Scores, ScoreSpec
from toy_models import toy_model

ROWS = [[5, 6, 7, 8, 9, 10, 11], [12, 13], [14, 15, 16, 17]]
SCORED = [[3, 4, 5, 6], [1], [1, 2, 3]]


def plain_logits(model: torch.nn.Module) -> torch.Tensor:
    """Each row on its own, without packing, padding or chunks: logits that predict the scored tokens."""
    rows = [model(torch.tensor([row])).logits[0][[p - 1 for p in at]] for row, at in zip(ROWS, SCORED, strict=True)]
    return torch.cat(rows)


@pytest.mark.parametrize("chunk_size", [1, 3, 64, 0])
@pytest.mark.parametrize("packed", [True, False])
def test_scores_equal_full_logits_in_any_layout_and_chunk_size(packed: bool, chunk_size: int) -> None:
    model = toy_model()
    rows = RaggedRows.build(ROWS, SCORED)
    expected = torch.log_softmax(plain_logits(model), -1)
    spec = ScoreSpec(rows.targets, torch.rand(8, 4, generator=torch.manual_seed(1)), top_k=6, chunk_size=chunk_size)
    scores = Scores(*Actor(model, packed=packed)(rows, spec))
    torch.testing.assert_close(scores.target_logprobs, expected.gather(1, rows.targets[:, None])[:, 0])
    torch.testing.assert_close(scores.candidate_logprobs, expected.gather(1, scores.candidates))
    torch.testing.assert_close(scores.entropy, -(expected.exp() * expected).sum(-1))


@pytest.mark.parametrize("chunk_size", [1, 7, 64, 0])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_gradients_equal_autograd_through_full_logits(chunk_size: int, temperature: float) -> None:
    generator = torch.manual_seed(0)
    head = ScoringHead(6, 11)
    hidden = torch.randn(9, 6, generator=generator, requires_grad=True)
    posterior = torch.randn(9, 6, generator=generator)
    targets = torch.randint(0, 11, (9,), generator=generator)
    spec = ScoreSpec(
        targets,
        torch.rand(9, 3, generator=generator),
        temperature=temperature,
        cross_entropy=True,
        chunk_size=chunk_size,
    )
    weights = torch.randn(9, generator=generator)
    candidate_weights = torch.randn(9, 3, generator=generator)
    scores = Scores(*head(hidden, spec, posterior))

    def loss(target: torch.Tensor, candidates: torch.Tensor, cross_entropy: torch.Tensor) -> torch.Tensor:
        return (weights * target).sum() + (candidate_weights * candidates).sum() + (weights**2 * cross_entropy).sum()

    inputs = [hidden, head.weight, head.bias]
    actual = torch.autograd.grad(loss(scores.target_logprobs, scores.candidate_logprobs, scores.cross_entropy), inputs)
    log_q = torch.log_softmax((hidden @ head.weight.T + head.bias) / temperature, -1)
    p = torch.softmax((posterior @ head.weight.T + head.bias).detach() / temperature, -1)
    expected = torch.autograd.grad(
        loss(log_q.gather(1, targets[:, None])[:, 0], log_q.gather(1, scores.candidates), -(p * log_q).sum(-1)), inputs
    )
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("chunk_size", [1, 4, 0])
def test_given_candidates_are_scored_as_they_are_and_renormalise_exactly(chunk_size: int) -> None:
    """Softmax over chosen tokens: the gradient must vanish for all others, also where a token is given twice."""
    generator = torch.manual_seed(2)
    head = ScoringHead(6, 11)
    hidden = torch.randn(9, 6, generator=generator, requires_grad=True)
    candidates = torch.randint(0, 11, (9, 3), generator=generator)
    weights = torch.randn(9, 3, generator=generator)
    spec = ScoreSpec(torch.zeros(9, dtype=torch.long), candidates=candidates, chunk_size=chunk_size)
    scores = Scores(*head(hidden, spec))
    logits = hidden @ head.weight.T + head.bias
    inputs = [hidden, head.weight, head.bias]
    torch.testing.assert_close(scores.candidates, candidates)
    torch.testing.assert_close(scores.candidate_logprobs, torch.log_softmax(logits, -1).gather(1, candidates))
    actual = torch.autograd.grad((weights * torch.log_softmax(scores.candidate_logprobs, -1)).sum(), inputs)
    plain = torch.autograd.grad((weights * torch.log_softmax(logits.gather(1, candidates), -1)).sum(), inputs)
    for a, b in zip(actual, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_candidates_are_either_given_or_drawn() -> None:
    with pytest.raises(ValueError, match="given or drawn or"):
        ScoreSpec(torch.zeros(1, dtype=torch.long), torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.long))


def test_a_teacher_of_another_width_gives_its_cross_entropy_and_gradient() -> None:
    head, teacher = ScoringHead(5, 13, bias=False), ScoringHead(3, 13)
    hidden, theirs = torch.randn(4, 5, requires_grad=True), torch.randn(4, 3)
    spec = ScoreSpec(torch.zeros(4, dtype=torch.long), cross_entropy=True, chunk_size=3)
    scores = Scores(*head(hidden, spec, theirs, teacher))
    p = torch.softmax(theirs @ teacher.weight.T + teacher.bias, -1).detach()
    plain = torch.nn.functional.cross_entropy(hidden @ head.weight.T, p, reduction="none")
    torch.testing.assert_close(scores.cross_entropy, plain)
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0])
    for ours, expected in zip(
        torch.autograd.grad((weights * scores.cross_entropy).sum(), [hidden, head.weight]),
        torch.autograd.grad((weights * plain).sum(), [hidden, head.weight]),
        strict=True,
    ):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


def test_kl_is_that_of_the_posterior_against_the_policy() -> None:
    head = ScoringHead(5, 13, bias=False)
    hidden, posterior = torch.randn(4, 5), torch.randn(4, 5)
    scores = Scores(*head(hidden, ScoreSpec(torch.zeros(4, dtype=torch.long)), posterior))
    q = torch.distributions.Categorical(logits=hidden @ head.weight.T)
    p = torch.distributions.Categorical(logits=posterior @ head.weight.T)
    torch.testing.assert_close(scores.kl, torch.distributions.kl_divergence(p, q).detach())


def test_bf16_scores_stay_close_to_float32() -> None:
    torch.manual_seed(0)
    head = ScoringHead(32, 200, bias=False)
    hidden, targets = torch.randn(20, 32), torch.randint(0, 200, (20,))
    exact = Scores(*head(hidden, ScoreSpec(targets))).target_logprobs
    rounded = Scores(*head.bfloat16()(hidden.bfloat16(), ScoreSpec(targets))).target_logprobs
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0, atol=5e-2)


def test_candidates_follow_the_quantiles_of_the_cut_distribution() -> None:
    q = torch.tensor([[0.1, 0.4, 0.2, 0.3]])
    uniforms = torch.tensor([[0.0, 0.56, 0.58, 0.99]])
    # top 2 are tokens 1 (0.4) and 3 (0.3): renormalised 4/7 = 0.571 and 3/7
    assert draw_candidates(q.log(), uniforms, top_k=2).tolist() == [[1, 1, 3, 3]]
    # uncut, in vocabulary order: 0.1, 0.5, 0.7, 1.0
    assert draw_candidates(q.log(), uniforms, top_k=0).tolist() == [[0, 2, 2, 3]]


def test_the_generated_token_replaces_the_last_candidate_only_where_it_is_missing() -> None:
    head = ScoringHead(2, 4, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[9.0, 0], [0, 9.0], [0, 0], [0, 0]]))
    hidden = torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # token 0 has nearly all the mass
    scores = Scores(*head(hidden, ScoreSpec(torch.tensor([0, 3]), torch.full((2, 3), 0.5), top_k=1)))
    assert scores.candidates.tolist() == [[0, 0, 0], [0, 0, 3]]


def test_packed_rows_do_not_see_each_other() -> None:
    model = toy_model()
    alone = RaggedRows.build(ROWS[:1], SCORED[:1])
    together = RaggedRows.build(ROWS, SCORED)
    changed = RaggedRows.build([ROWS[0], [99, 98], ROWS[2]], SCORED)
    actor = Actor(model, packed=True)
    one = actor(alone)
    torch.testing.assert_close(actor(together)[:4], one, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(actor(changed)[:4], one, rtol=1e-5, atol=2e-5)


def test_a_row_without_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="empty prompt"):
        RaggedRows.build([[1, 2]], [[0, 1]])


def test_a_model_that_changes_its_logits_behind_the_output_layer_is_refused() -> None:
    from openrlhf.errors import UserError

    model = toy_model()
    model.config.final_logit_softcapping = 30.0
    with pytest.raises(UserError, match="final_logit_softcapping"):
        Actor(model)
