"""SFT, distillation and process rewards on DeepSpeed against plain PyTorch over full logits, however the batch is
split; the balancing loss of experts; LoRA under ZeRO-3."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from launching import launch
from safetensors.torch import load_file
from token_program import REWARD_TOKENS, examples
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from openrlhf.experience.example import Example
from openrlhf.trainer.batching import split_over_ranks
from toy_models import byte_tokenizer, save_toy, toy_experts, toy_model

COEF = 0.05
OBJECTIVES = ("sft", "kd", "prm", "prm over all tokens")
# ranks, flags: padded and packed, one to seven accumulation steps, all ZeRO stages
SPLITS: dict[str, tuple[int, dict]] = {
    "zero0, padded": (1, {"zero_stage": 0, "packing_samples": False}),
    "zero2, packed, 7 steps": (1, {"zero_stage": 2, "micro": 1}),
    "zero0, padded, 2 ranks": (2, {"zero_stage": 0, "micro": 2, "packing_samples": False}),
    "zero3, packed, 2 ranks": (2, {"zero_stage": 3, "micro": 2}),
}
EXPERTS: dict[str, tuple[int, dict]] = {
    "padded": (1, {"zero_stage": 0, "packing_samples": False}),
    "packed": (1, {"zero_stage": 2}),
    "checkpointed": (1, {"zero_stage": 0, "gradient_checkpointing": True, "micro": 3}),
    "2 ranks, padded": (2, {"zero_stage": 2, "micro": 2, "packing_samples": False}),
    "2 ranks, zero3": (2, {"zero_stage": 3, "micro": 2}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens")
    save_toy(path / "model")
    save_toy(path / "teacher", seed=1, hidden_size=96)
    toy_experts().save_pretrained(path / "experts")
    byte_tokenizer().save_pretrained(path / "experts")
    return path


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, dict]:
    """Everything that is run, by "objective|split"."""
    paths = {name: str(folder / name) for name in ("model", "teacher", "experts")}
    scenarios: dict[int, dict[str, dict]] = {1: {}, 2: {}}
    for split, (ranks, flags) in SPLITS.items():
        for name in OBJECTIVES:
            scenarios[ranks][f"{name}|{split}"] = {
                "objective": name,
                "pretrain": paths["model"],
                "teacher": paths["teacher"],
                **flags,
            }
    for split, (ranks, flags) in EXPERTS.items():
        scenarios[ranks][f"experts|{split}"] = {
            "objective": "sft",
            "pretrain": paths["experts"],
            "aux_loss_coef": COEF,
            **flags,
        }
    for split in ("padded", "2 ranks, zero3"):
        ranks, flags = EXPERTS[split]
        scenarios[ranks][f"scalar experts|{split}"] = {
            "objective": "squares",
            "pretrain": paths["experts"],
            "aux_loss_coef": COEF,
            **{**flags, "micro": 2},
        }
    for name, objective in (("actor", "sft"), ("scalar", "squares")):
        lora = {"objective": objective, "pretrain": paths["model"], "lora_rank": 4, "steps": 3, "micro": 2}
        scenarios[2][f"lora {name}|zero3"] = {**lora, "save": str(folder / f"lora_{name}")}
        scenarios[1][f"lora {name}|zero0"] = {**lora, "zero_stage": 0}
    made = [launch("token_program.py", folder, ranks, own) for ranks, own in scenarios.items()]
    return {name: found for results in made for name, found in results.items()}


def row_logits(model: torch.nn.Module, example: Example) -> Tensor:
    """[scored, vocabulary], one row at a time."""
    return model(torch.tensor([example.ids])).logits[0][[p - 1 for p in example.scored]]


def plain_gradients(name: str) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of the whole batch by PyTorch's cross-entropy."""
    model, teacher = toy_model(), toy_model(1, hidden_size=96)
    losses = []
    for example in examples(name):
        logits = row_logits(model, example)
        targets = torch.tensor([example.ids[p] for p in example.scored])
        labels = torch.tensor(example.columns.get("label", ()))
        if name == "sft":
            losses.append(cross_entropy(logits, targets, reduction="none"))
        elif name == "kd":
            p = row_logits(teacher, example).detach().softmax(-1)
            mixed = 0.6 * cross_entropy(logits, targets, reduction="none")
            losses.append(mixed + 0.4 * cross_entropy(logits, p, reduction="none"))
        elif name == "prm":
            two = torch.stack([labels, 1 - labels], -1)
            losses.append(cross_entropy(logits[:, REWARD_TOKENS], two, reduction="none"))
        else:
            losses.append(cross_entropy(logits, labels.long(), reduction="none"))
    loss = torch.cat(losses).mean()
    loss.backward()
    return float(loss.detach()), {n: p.grad for n, p in model.named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_same_batch_gives_the_same_gradient_however_it_is_split(name: str, split: str, results: dict) -> None:
    found = results[f"{name}|{split}"]
    loss, expected = plain_gradients(name)
    assert found["logged"][0]["loss"] == pytest.approx(loss, rel=1e-5)
    for parameter, gradient in found["gradients"].items():
        torch.testing.assert_close(gradient, expected[parameter], rtol=1e-4, atol=2e-5, msg=parameter)


def balanced_gradients(split: str) -> tuple[float, float, dict[str, Tensor]]:
    """SFT's loss plus transformers' own auxiliary loss of each padded micro-batch, weighted by its tokens."""
    ranks, flags = EXPERTS[split]
    model = toy_experts()
    batch = examples("sft")
    sft = torch.cat(
        [
            cross_entropy(row_logits(model, e), torch.tensor([e.ids[p] for p in e.scored]), reduction="none")
            for e in batch
        ]
    ).mean()
    total = sum(len(e.ids) for e in batch)
    balance = torch.zeros(())
    for share in split_over_ranks(batch, ranks, flags.get("micro", 99)):
        for micro in share:
            rows = [torch.tensor(e.ids) for e in micro if e.weight]
            if rows:
                ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=257)
                mask = (ids != 257).long()
                out = model(ids, attention_mask=mask, output_router_logits=True)
                balance = balance + out.aux_loss * (int(mask.sum()) / total)
    (sft + COEF * balance).backward()
    return float(sft.detach()), float(balance.detach()), {n: p.grad for n, p in model.named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("split", EXPERTS)
def test_the_balancing_loss_is_the_mean_over_micro_batches_by_tokens_without_padding(split: str, results: dict) -> None:
    found = results[f"experts|{split}"]
    sft, balance, expected = balanced_gradients(split)
    logged = found["logged"][0]
    assert logged["gpt_loss"] == pytest.approx(sft, rel=1e-5)
    assert logged["aux_loss"] == pytest.approx(balance, rel=1e-5)
    assert logged["loss"] == pytest.approx(sft + COEF * balance, rel=1e-5)
    for parameter, gradient in found["gradients"].items():
        torch.testing.assert_close(gradient, expected[parameter], rtol=1e-4, atol=2e-5, msg=parameter)


@pytest.mark.slow
def test_the_balancing_loss_depends_on_the_micro_batches_but_not_on_packing_or_sharding(results: dict) -> None:
    """It is a product of two means over a micro-batch, so it cannot be the same for every split."""
    found = {split: results[f"experts|{split}"]["logged"][0]["aux_loss"] for split in EXPERTS}
    assert found["packed"] == pytest.approx(found["padded"], rel=1e-5)
    assert found["2 ranks, zero3"] == pytest.approx(found["2 ranks, padded"], rel=1e-5)
    assert found["2 ranks, zero3"] != pytest.approx(found["padded"], rel=1e-3)
    assert found["2 ranks, zero3"] == pytest.approx(found["padded"], rel=0.2)


@pytest.mark.slow
def test_reward_models_with_experts_are_balanced_too(results: dict) -> None:
    for split in ("padded", "2 ranks, zero3"):
        found = results[f"scalar experts|{split}"]
        assert found["logged"][0]["aux_loss"] > 0
        assert found["gradients"]["model.layers.0.mlp.gate.weight"].abs().max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["actor", "scalar"])
def test_lora_under_zero3_trains_as_on_one_rank_and_saves_merged_weights_and_adapter(
    name: str, results: dict, folder: Path
) -> None:
    from peft import PeftModel

    alone, sharded = results[f"lora {name}|zero0"], results[f"lora {name}|zero3"]
    losses = [[row["loss"] for row in found["logged"]] for found in (alone, sharded)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    auto, options = (
        (AutoModelForCausalLM, {})
        if name == "actor"
        else (
            AutoModelForSequenceClassification,
            {"num_labels": 1},
        )
    )
    saved = folder / f"lora_{name}"
    base = auto.from_pretrained(folder / "model", **options)
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    with torch.no_grad():
        merged = auto.from_pretrained(saved).eval()(ids).logits
        adapted = PeftModel.from_pretrained(base, saved / "adapter").eval()(ids).logits
        untrained = auto.from_pretrained(folder / "model", **options).eval()(ids).logits
    torch.testing.assert_close(adapted, merged, rtol=1e-4, atol=1e-5)
    assert (merged - untrained).abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["actor", "scalar"])
def test_lora_combiner_writes_what_training_wrote_merged(name: str, results: dict, folder: Path) -> None:
    saved, combined = folder / f"lora_{name}", folder / f"combined_{name}"
    argv = ["--model_path", str(folder / "model"), "--lora_path", str(saved), "--output_path", str(combined)]
    subprocess.run(
        [sys.executable, "-m", "openrlhf.cli.lora_combiner", *argv, *(["--is_rm"] if name == "scalar" else [])],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    ours, trained = (load_file(path / "model.safetensors") for path in (combined, saved))
    assert ours.keys() == trained.keys()
    for key, tensor in trained.items():
        torch.testing.assert_close(ours[key], tensor, rtol=0, atol=1e-6, msg=key)
    assert not (combined / "adapter").exists()
    assert (combined / "tokenizer.json").is_file()
