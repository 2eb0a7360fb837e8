"""Losses, gradients and log-probabilities of the GPU against the CPU's."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from openrlhf.experience.example import Example
from openrlhf.experience.micro_batch import collate
from openrlhf.methods.intro import Intro, IntroObjective
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
    "intro, all of the vocabulary": IntroObjective(Intro(top_k=0)),
    "intro, exact": IntroObjective(Intro(estimator="exact")),
    "policy gradient": PolicyObjective(0.2, temperature=0.7),
    "likelihood": LikelihoodObjective(),
}


def examples(count: int = 9, longest: int = 40) -> list[Example]:
    generator = torch.Generator().manual_seed(3)
    made = []
    for index in range(count):
        prompt, response = torch.randint(1, longest, (2,), generator=generator).tolist()
        ids = torch.randint(0, 256, (prompt + response,), generator=generator).tolist()
        numbers = torch.randn((2, response), generator=generator)
        columns = {"advantage": numbers[0].tolist(), "old_logprob": (numbers[1] * 0.1 - 5.5).tolist()}
        made.append(
            Example(
                ids=tuple(ids),
                scored=tuple(range(prompt, prompt + response)),
                weight=1.0 / (count * response),
                hints=((35, 36, 37),),
                hint_at=prompt,
                seed=index,
                columns=columns,
            )
        )
    return made


def run(
    device: torch.device,
    objective: Objective,
    *,
    packed: bool = True,
    attention: str = "sdpa",
    dtype: torch.dtype = torch.float32,
) -> tuple[float, torch.Tensor]:
    """The loss, through the pass that the objective takes in training, and the gradient of all parameters."""
    model = toy_model(attn_implementation=attention).to(device, dtype)
    actor = Actor(model, packed=packed, pad_token_id=257)
    batch = collate(examples(), device, num_candidates=objective.num_candidates, with_posterior=True)
    posterior = None
    if objective.needs_posterior:
        with torch.no_grad():
            posterior = actor(batch.posterior_rows)
    spec = replace(objective.spec(batch), chunk_size=64)

    def token_loss(scores: Scores, part: Any) -> torch.Tensor:
        return objective.loss(scores, batch.part(part), Tally())

    loss = actor(batch.rows, spec, posterior, None, token_loss)[-1]
    loss.backward()
    gradients = [p.grad.float().flatten().cpu() for p in actor.parameters() if p.grad is not None]
    return float(loss.detach()), torch.cat(gradients)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_and_gradients_are_those_of_the_cpu(device: torch.device, name: str, record: Callable) -> None:
    expected_loss, expected = run(torch.device("cpu"), OBJECTIVES[name])
    loss, gradient = run(device, OBJECTIVES[name])
    gap = float((gradient - expected).abs().max())
    record(loss_gap=abs(loss - expected_loss), gradient_gap=gap, largest_gradient=float(expected.abs().max()))
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    assert gap < 1e-3 * float(expected.abs().max()) + 1e-6


def test_packed_and_padded_rows_agree(device: torch.device, record: Callable) -> None:
    loss, gradient = run(device, OBJECTIVES["intro"])
    other_loss, other = run(device, OBJECTIVES["intro"], packed=False)
    record(loss_gap=abs(loss - other_loss), gradient_gap=float((gradient - other).abs().max()))
    assert other_loss == pytest.approx(loss, rel=1e-4)
    torch.testing.assert_close(other, gradient, rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(find_spec("flash_attn") is None, reason="flash-attn is not installed")
@pytest.mark.parametrize("packed", [True, False])
def test_flash_attention_agrees_with_sdpa(device: torch.device, packed: bool, record: Callable) -> None:
    """In bf16, the only type they share: within its rounding."""
    objective = OBJECTIVES["likelihood"]
    loss, gradient = run(device, objective, packed=packed, dtype=torch.bfloat16)
    other_loss, other = run(device, objective, packed=packed, attention="flash_attention_2", dtype=torch.bfloat16)
    record(loss_gap=abs(loss - other_loss), gradient_gap=float((gradient - other).abs().max()))
    assert other_loss == pytest.approx(loss, rel=5e-3)
    assert float((gradient - other).norm() / gradient.norm()) < 0.05


@pytest.mark.parametrize("deviation", [2, 8])
def test_bf16_log_probabilities_are_exact_where_they_are_read(
    device: torch.device, deviation: int, record: Callable
) -> None:
    """Against float64 arithmetic on the same bf16 numbers; rounding logits to bf16 alone costs 1e-2 to 1e-1."""
    width, vocabulary = (64, 2048) if device.type == "cpu" else (1536, 151_936)
    torch.manual_seed(0)
    hidden = torch.randn(64, width, device=device).bfloat16()
    head = ScoringHead(width, vocabulary, bias=False, dtype=torch.bfloat16, device=device).requires_grad_(False)
    head.weight.normal_(std=deviation * width**-0.5)
    logits = hidden.double() @ head.weight.double().T
    targets = torch.multinomial(logits.softmax(1).float(), 1)
    exact = logits.log_softmax(1).gather(1, targets)[:, 0]
    scored = Scores(*head(hidden, ScoreSpec(targets[:, 0], measured=False))).target_logprobs
    gap = (scored - exact).abs()
    record(mean_error=float(gap.mean()), largest_error=float(gap.max()))
    assert float(gap.max()) < 3e-3


DETERMINED = """
import sys
sys.path[:0] = {paths}
from transformers import enable_full_determinism
enable_full_determinism(1)
import torch
from test_a_scores import OBJECTIVES, run
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
for name, objective in OBJECTIVES.items():
    first, second = (run(device, objective) for _ in range(2))
    assert first[0] == second[0] and torch.equal(first[1], second[1]), name
print("the same bits twice")
"""


def test_full_determinism_refuses_nothing_and_repeats_every_bit(device: torch.device) -> None:
    """In a process of its own: the variables must be there before CUDA is."""
    here = str(Path(__file__).parent)
    program = DETERMINED.format(paths=[here, *sys.path])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=200, check=False)
    assert "the same bits twice" in done.stdout, done.stderr[-3000:]
