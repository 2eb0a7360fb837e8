"""Reward models, DPO and KTO on DeepSpeed: the gradients are those of the plain formulas, however a batch is split."""

import math
from pathlib import Path

import pytest
import torch
from launching import launch
from preference_program import labels, rows
from torch import Tensor
from transformers import Qwen2ForSequenceClassification

from toy_models import save_toy, toy_config, toy_model

OBJECTIVES = ("reward", "dpo", "ipo", "kto")
# name: (ranks, flags and settings); 7 pairs, so that ranks have shares of different sizes and idle micro-batches
SPLITS: dict[str, tuple[int, dict]] = {
    "padded, zero0": (1, {"zero_stage": 0, "packing_samples": False}),
    "packed, zero2, 4 micro-batches": (1, {"zero_stage": 2, "micro": 2}),
    "2 ranks, packed, zero3, 2 micro-batches": (2, {"zero_stage": 3, "micro": 2, "gradient_checkpointing": True}),
    "2 ranks, padded, zero2, 4 micro-batches": (2, {"zero_stage": 2, "micro": 1, "packing_samples": False}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("preferences")
    save_toy(path / "pretrain")
    save_toy(path / "reference", seed=REFERENCE)
    regressor().save_pretrained(path / "reward_model")
    return path


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[tuple[str, str], dict]:
    """By objective and split."""
    found = {}
    for ranks in (1, 2):
        scenarios = {
            f"{objective}|{split}": {"objective": objective, **flags}
            for split, (world, flags) in SPLITS.items()
            for objective in OBJECTIVES
            if world == ranks
        }
        if ranks == 1:
            scenarios |= {f"{o}|lora": {"objective": o, "lora_rank": 4, "steps": 4} for o in OBJECTIVES}
        models = {name: str(folder / name) for name in ("pretrain", "reference", "reward_model")}
        made = launch("preference_program.py", folder, ranks, scenarios, **models)
        found.update({tuple(name.split("|")): result for name, result in made.items()})
    return found


REFERENCE = 1  # a seed for which the estimate of KTO's KL is above 0


def regressor() -> Qwen2ForSequenceClassification:
    torch.manual_seed(0)
    return Qwen2ForSequenceClassification(toy_config(num_labels=1)).eval()


def loglik(model: torch.nn.Module, prompt: list[int], response: list[int]) -> Tensor:
    """log π(response | prompt) by transformers and PyTorch alone."""
    logits = model(input_ids=torch.tensor([prompt + response])).logits[0]
    logprobs = torch.log_softmax(logits[len(prompt) - 1 : -1], -1)
    return logprobs.gather(1, torch.tensor(response)[:, None]).sum()


def plain(name: str) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of the whole batch, one row after the other."""
    data, marks = rows(7), labels(7)
    model = regressor() if name == "reward" else toy_model()
    loss = PLAIN[name](model, data, marks)
    loss.backward()
    return float(loss.detach()), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def plain_reward(model, data, margins) -> Tensor:
    rewards = [model(input_ids=torch.tensor([prompt + response])).logits[0, 0] for prompt, response, _ in data]
    pairs = zip(rewards[0::2], rewards[1::2], margins[0::2], strict=True)
    return sum(-torch.sigmoid(chosen - rejected - margin).log() for chosen, rejected, margin in pairs) / 7


def log_ratios(model, data) -> tuple[list[Tensor], list[Tensor]]:
    """Of every row, and the policy's own log-likelihoods."""
    own = [loglik(model, prompt, response) for prompt, response, _ in data]
    with torch.no_grad():
        reference = toy_model(REFERENCE)
        other = [loglik(reference, prompt, response) for prompt, response, _ in data]
    return [mine - theirs for mine, theirs in zip(own, other, strict=True)], own


def plain_dpo(model, data, _) -> Tensor:
    ratios, own = log_ratios(model, data)
    losses = []
    for i in range(0, 14, 2):
        h = 0.2 * (ratios[i] - ratios[i + 1])
        losses.append(-0.9 * torch.sigmoid(h).log() - 0.1 * torch.sigmoid(-h).log() - 0.3 * own[i] / len(data[i][1]))
    return sum(losses) / 7


def plain_ipo(model, data, _) -> Tensor:
    ratios, _ = log_ratios(model, data)
    return sum((ratios[i] - ratios[i + 1] - 2.5) ** 2 for i in range(0, 14, 2)) / 7


def plain_kl(model, data) -> float:
    """Each prompt with the response of the next prompt's first row; rows of at most 9 tokens."""
    mismatched = []
    for i in range(14):
        prompt, other = data[i][0], data[(i // 2 * 2 + 2) % 14][1]
        mismatched.append((prompt, other[: 9 - len(prompt)], 0))
    with torch.no_grad():
        return float(sum(log_ratios(model, mismatched)[0]) / 14)


def plain_kto(model, data, marks) -> Tensor:
    ratios, _ = log_ratios(model, data)
    kl = max(0.0, plain_kl(model, data))
    losses = [
        1.5 * (1 - torch.sigmoid(0.1 * (ratio - kl))) if mark else 1 - torch.sigmoid(0.1 * (kl - ratio))
        for ratio, mark in zip(ratios, marks, strict=True)
    ]
    return sum(losses) / 14


PLAIN = {"reward": plain_reward, "dpo": plain_dpo, "ipo": plain_ipo, "kto": plain_kto}


@pytest.fixture(scope="module")
def expected() -> dict[str, tuple[float, dict[str, Tensor]]]:
    return {name: plain(name) for name in OBJECTIVES}


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_loss_and_gradient_are_those_of_the_formula_however_the_batch_is_split(
    objective: str, split: str, results: dict, expected: dict
) -> None:
    result, (loss, gradients) = results[objective, split], expected[objective]
    assert result["trained"][0]["loss"] == pytest.approx(loss, rel=1e-5)
    assert result["evaluated"]["loss"] == pytest.approx(loss, rel=1e-5)
    largest = max(float(g.abs().max()) for g in gradients.values())
    assert result["gradients"].keys() == gradients.keys()
    for name, gradient in result["gradients"].items():
        torch.testing.assert_close(gradient, gradients[name], rtol=1e-4, atol=2e-5 * max(largest, 1), msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
def test_the_kl_of_kto_is_one_figure_of_the_whole_batch(split: str, results: dict) -> None:
    kl = plain_kl(toy_model(), rows(7))
    assert kl > 0.1
    assert results["kto", split]["trained"][0]["kl"] == pytest.approx(kl, rel=1e-5)
    assert results["kto", split]["evaluated"]["kl"] == pytest.approx(kl, rel=1e-5)


@pytest.mark.slow
def test_rewards_accuracy_and_spread_are_logged_over_all_ranks(results: dict) -> None:
    with torch.no_grad():
        rewards = [float(regressor()(input_ids=torch.tensor([p + r])).logits) for p, r, _ in rows(7)]
    chosen, rejected = rewards[0::2], rewards[1::2]
    mean = sum(rewards) / 14
    figures = {
        "acc": sum(c > r for c, r in zip(chosen, rejected, strict=True)) / 7,
        "chosen_reward": sum(chosen) / 7,
        "reject_reward": sum(rejected) / 7,
        "reward_mean": mean,
        "reward_std": math.sqrt(sum((r - mean) ** 2 for r in rewards) / 13),
    }
    for split in SPLITS:
        found = results["reward", split]["evaluated"]
        assert {name: found[name] for name in figures} == pytest.approx(figures, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_lora_trains_its_own_parameters_and_a_new_head_only(objective: str, results: dict) -> None:
    result = results[objective, "lora"]
    names = set(result["gradients"])
    assert any("lora_" in name for name in names)
    assert {name for name in names if "lora_" not in name} == ({"score.weight"} if objective == "reward" else set())
    assert result["trained"][-1]["loss"] < result["trained"][0]["loss"]
