"""Rows split over ranks (--ring_attn_size) give the loss and the gradient of one rank, whatever is trained."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from launching import launch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from openrlhf.errors import UserError
from openrlhf.experience.example import Example
from openrlhf.models.ragged import RaggedRows
from openrlhf.models.sequence_parallel import SPLITTABLE, SequenceParallel, check_splittable, isolated_attention
from openrlhf.trainer.batching import split_over_ranks
from openrlhf.utils.network import free_port
from toy_models import save_toy, toy_config, toy_model

HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
# What is trained, with the settings of the run on one rank. Rows of 2 to 16 tokens, 7 or 8 of them.
TASKS = {
    "sft": {"task": "sft", "zero_stage": 0},
    "sft, 1 row": {"task": "sft", "zero_stage": 0, "count": 1},
    "sft, lora": {"task": "sft", "zero_stage": 2, "lora_rank": 4},
    "intro": {"zero_stage": 0, "steps": 2},
    "intro, kl": {"zero_stage": 0, "intro_posterior": "initial", "use_kl_loss": True, "steps": 2},
    "dpo": {"task": "dpo", "zero_stage": 0, "count": 8, "steps": 2},
    "policy gradient": {"advantage_estimator": "gae", "zero_stage": 0, "steps": 2},
    "several hints": {"advantage_estimator": "srpo", "several": True, "zero_stage": 0, "steps": 2},
    "sequence ratios": {"advantage_estimator": "gspo", "gspo_eps_clip": 0.9, "zero_stage": 0, "steps": 2},
    "critic": {"advantage_estimator": "critic", "zero_stage": 0, "steps": 2},
    "reward": {"task": "reward", "zero_stage": 0, "count": 8, "steps": 2},
}
# How the runs on several ranks differ from that.
TOGETHER = {
    "sft": [
        {},
        {"zero_stage": 2, "micro": 2},
        {"zero_stage": 3, "micro": 1},
        {"zero_stage": 3, "gradient_checkpointing": True},
        {"zero_stage": 2, "gradient_checkpointing": True, "gradient_checkpointing_use_reentrant": True},
    ],
    "sft, 1 row": [{"zero_stage": 3}],
    "sft, lora": [{}],
    "intro": [{}, {"zero_stage": 3, "micro": 2, "gradient_checkpointing": True}],
    "intro, kl": [{"zero_stage": 3, "micro": 2}],
    "dpo": [{}, {"zero_stage": 3, "micro": 1}],
    "policy gradient": [{"zero_stage": 3, "micro": 2}],
    "several hints": [{"zero_stage": 3, "micro": 2}],
    "sequence ratios": [{"zero_stage": 3, "micro": 2}],
    "critic": [{"zero_stage": 3, "micro": 2}],
    "reward": [{}, {"zero_stage": 3, "micro": 1}],
}
GROUPS = ("sft 2", "sft, 1 row 0", "intro 0", "dpo 1", "reward 1")
WIDE = ("sft 3", "intro 1")
FAMILIES = {
    "llama": {},
    "mistral": {"sliding_window": 4},
    "qwen2": {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1},
    "qwen3": {"head_dim": 16},
}


def split_scenarios(size: int) -> dict[str, dict]:
    return {
        f"{task} {i}": {**TASKS[task], **changes, "ring_attn_size": size}
        for task, all_changes in TOGETHER.items()
        for i, changes in enumerate(all_changes)
    }


def family_scenarios(folder: Path, size: int) -> dict[str, dict]:
    return {name: {"task": "sft", "pretrain": str(folder / name), "ring_attn_size": size} for name in FAMILIES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("split")
    save_toy(path / "model", **HEADS)
    for name, changes in FAMILIES.items():
        settings = {k: v for k, v in toy_config(**HEADS).to_dict().items() if k not in ("model_type", "layer_types")}
        torch.manual_seed(0)
        config = AutoConfig.for_model(name, **{**settings, **changes})
        AutoModelForCausalLM.from_config(config).save_pretrained(path / name)
    return path


def run(folder: Path, world_size: int, scenarios: dict[str, dict]) -> dict:
    return launch("learner_program.py", folder, world_size, scenarios, pretrain=str(folder / "model"))


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict:
    return launch(
        "learner_program.py", folder, 1, {**TASKS, **family_scenarios(folder, 1)}, pretrain=str(folder / "model")
    )


@pytest.fixture(scope="module")
def two(folder: Path) -> dict:
    """One group of two ranks."""
    return launch(
        "learner_program.py",
        folder,
        2,
        {**split_scenarios(2), **family_scenarios(folder, 2)},
        pretrain=str(folder / "model"),
    )


@pytest.fixture(scope="module")
def four(folder: Path) -> dict:
    """Two groups of two ranks, and one group of four, which is more than there are key-value heads."""
    groups = {name: split_scenarios(2)[name] for name in GROUPS}
    wide = {f"{name}, wide": split_scenarios(4)[name] for name in WIDE}
    return run(folder, 4, {**groups, **wide})


def assert_same(found: dict, expected: dict) -> None:
    assert found["losses"] == pytest.approx(expected["losses"], rel=1e-5)
    assert found["norm"] == pytest.approx(expected["norm"], rel=1e-4)
    assert found["gradients"].keys() == expected["gradients"].keys()
    assert expected["norm"] > 0.05  # there is something to compare
    for name, gradient in found["gradients"].items():
        torch.testing.assert_close(gradient, expected["gradients"][name], rtol=1e-4, atol=2e-5, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", split_scenarios(2))
def test_split_rows_give_the_gradient_of_one_rank(scenario: str, alone: dict, two: dict) -> None:
    assert_same(two[scenario], alone[scenario.rpartition(" ")[0]])


@pytest.mark.slow
@pytest.mark.parametrize("scenario", GROUPS)
def test_groups_with_different_rows_add_up_to_the_gradient_of_one_rank(scenario: str, alone: dict, four: dict) -> None:
    assert_same(four[scenario], alone[scenario.rpartition(" ")[0]])


@pytest.mark.slow
@pytest.mark.parametrize("scenario", WIDE)
def test_more_ranks_than_key_value_heads_change_nothing(scenario: str, alone: dict, four: dict) -> None:
    assert_same(four[f"{scenario}, wide"], alone[scenario.rpartition(" ")[0]])


@pytest.mark.slow
@pytest.mark.parametrize("family", SPLITTABLE)
def test_every_family_that_is_accepted_gives_the_gradient_of_one_rank(family: str, alone: dict, two: dict) -> None:
    """Two of them with a sliding window that is shorter than the rows."""
    assert_same(two[family], alone[family])


@pytest.mark.parametrize("window", [None, 3])
def test_attention_between_the_exchanges_is_that_of_each_sequence_alone(window: int | None) -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = (5, 1, 6)
    query, key, value = (torch.randn(1, 2, 12, 4, generator=generator) for _ in range(3))
    positions = RaggedRows.build([[0] * n for n in lengths], [[]] * 3).positions
    attention = toy_model().model.layers[0].self_attn
    attention.num_key_value_groups = 1
    found, _ = isolated_attention(
        attention, query, key, value, None, position_ids=positions[None], sliding_window=window, scaling=0.5
    )
    sequence = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))
    gap = torch.arange(12)[:, None] - torch.arange(12)
    seen = (sequence[:, None] == sequence) & (gap >= 0) & (gap < (window or 12))
    scores = (query @ key.transpose(2, 3) * 0.5).masked_fill(~seen, float("-inf"))
    torch.testing.assert_close(found, (scores.softmax(-1) @ value).transpose(1, 2))


def test_ranks_that_share_rows_get_the_same_micro_batches() -> None:
    rows = [Example(ids=(1, 2, 3)[: 2 + i % 2], scored=(1,), weight=1.0, seed=i) for i in range(6)]
    shares = split_over_ranks(rows, 4, 2, ranks_per_share=2)
    assert shares[0] == shares[1]
    assert shares[2] == shares[3]
    assert sorted(e.seed for share in shares[::2] for micro in share for e in micro if e.weight) == list(range(6))


def test_models_that_cannot_be_split_are_refused() -> None:
    with pytest.raises(UserError, match=r"4 attention heads and 2 key-value heads .* one of 1, 2, 4"):
        check_splittable(toy_config(**HEADS), 3)
    check_splittable(toy_config(**HEADS), 4)
    with pytest.raises(UserError, match="6 attention heads and 4 key-value heads"):
        check_splittable(toy_config(num_attention_heads=6, num_key_value_heads=4), 3)
    with pytest.raises(UserError, match="mamba model cannot be split"):
        check_splittable(AutoConfig.for_model("mamba"), 2)
    dynamic = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    with pytest.raises(UserError, match="of type dynamic, which depends on the length"):
        check_splittable(toy_config(**HEADS, rope_parameters=dynamic), 2)


def logged(folder: Path, ranks: int, name: str, *flags: str) -> list[dict]:
    """What a run logged, without times."""
    common = (
        "--pretrain model --dataset data.jsonl --input_key x --output_key y --train_batch_size 4"
        " --micro_train_batch_size 2 --learning_rate 1e-3 --packing_samples --zero_stage 3 --save_steps 2"
        f" --max_epochs 1 --logging_steps 1 --save_path {name} --ckpt_path {name}_ckpt"
    )
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={ranks}", f"--master_port={free_port()}"]
    argv = [sys.executable, *(launcher if ranks > 1 else []), "-m", "openrlhf.cli.train_sft", *common.split(), *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    lines = (folder / name / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "time"} for line in lines]


@pytest.mark.slow
@pytest.mark.faults
def test_the_command_logs_what_one_rank_logs_and_continues_exactly(folder: Path) -> None:
    rows = [{"x": "a" * (1 + i % 5), "y": "b" * (1 + i % 7)} for i in range(12)]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = logged(folder, 1, "one")
    found = logged(folder, 2, "two", "--ring_attn_size", "2")
    assert len(found) == 3
    for one, two in zip(expected, found, strict=True):
        assert two == pytest.approx(one, rel=1e-4)
    assert logged(folder, 2, "two", "--ring_attn_size", "2", "--load_checkpoint") == found
    weights = load_file(folder / "two" / "model.safetensors")
    torch.testing.assert_close(weights, load_file(folder / "one" / "model.safetensors"), rtol=1e-4, atol=2e-5)


def test_ranks_that_do_not_divide_into_groups_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 3)
    with pytest.raises(UserError, match="over as many ranks, but there are 3: start a multiple of 2"):
        SequenceParallel.join(2)
