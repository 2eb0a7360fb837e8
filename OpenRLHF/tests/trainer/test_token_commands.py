"""train_sft, train_prm and train_kd by their real command lines, alone and under torchrun; continuing them."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM

from openrlhf.trainer.checkpoint import limit_size
from toy_models import byte_tokenizer, save_toy, toy_experts

pytestmark = pytest.mark.slow

CHAT = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ eos_token if m['role'] == 'assistant' else '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)
SMALL = ["--train_batch_size", "4", "--learning_rate", "1e-3", "--save_steps", "1", "--seed", "3"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def write(path: Path, rows: Sequence[dict]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(folder: Path, command: str, *argv: str, ranks: int = 1) -> subprocess.CompletedProcess:
    """`folder` is the working directory, so that paths can be short."""
    launcher = TORCHRUN if ranks > 1 else []
    return subprocess.run(
        [sys.executable, *launcher, "-m", f"openrlhf.cli.{command}", *argv],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def trained(folder: Path, command: str, *argv: str, ranks: int = 1) -> list[dict]:
    """Runs a command that must succeed; returns its rows of metrics without what depends on the clock."""
    done = run(folder, command, *argv, ranks=ranks)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    path = folder / argv[argv.index("--save_path") + 1] / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name != "time"} for row in rows]


def continued(folder: Path, command: str, step: int, *argv: str, ranks: int = 1) -> list[dict]:
    """The same from the checkpoint of an earlier step, into another folder for its results."""
    checkpoints = folder / argv[argv.index("--ckpt_path") + 1]
    (checkpoints / "latest").write_text(f"global_step{step}", encoding="utf-8")
    save_path = argv[argv.index("--save_path") + 1]
    changed = [f"{save_path}_continued" if word == save_path else word for word in argv]
    return trained(folder, command, *changed, "--load_checkpoint", ranks=ranks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("commands")
    save_toy(path / "model")
    save_toy(path / "teacher", seed=1, hidden_size=96)
    toy_experts().save_pretrained(path / "experts")
    byte_tokenizer().save_pretrained(path / "experts")
    chats = [
        {
            "input": [
                {"role": "user", "content": f"{i} and {i}?"},
                {"role": "assistant", "content": str(2 * i)},
                {"role": "user", "content": "sure?" * (1 + i % 3)},
                {"role": "assistant", "content": "yes"},
            ]
        }
        for i in range(10)
    ]
    write(path / "chats" / "train.jsonl", chats)
    write(path / "chats" / "test.jsonl", chats[:3])
    plain = [{"input": f"{i}+{i}=", "output": str(2 * i) * (1 + i % 3), "text": "abc" * (i + 1)} for i in range(10)]
    write(path / "plain.jsonl", plain)
    steps = [{"input": "So 1 # then 2 #" + "3 #" * (i % 3), "label": ["+", "-"] + ["+"] * (i % 3)} for i in range(10)]
    marked = [{"input": "one # two #", "label": "one + two -"}, {"input": "one # two #", "label": [0.25, 1]}]
    write(path / "steps" / "train.jsonl", steps + marked)
    write(path / "steps" / "test.jsonl", marked)
    return path


SFT = [
    *["--pretrain", "model", "--dataset", "chats", "--multiturn", "--apply_chat_template", *SMALL],
    *["--tokenizer_chat_template", CHAT, "--max_epochs", "2", "--max_ckpt_num", "2", "--save_hf_ckpt"],
    *["--use_tensorboard", "tb", "--wandb_run_name", "sft", "--eval_steps", "2", "--ckpt_path", "sft_ckpt"],
    *["--save_path", "sft"],
]


@pytest.fixture(scope="module")
def sft(folder: Path) -> list[dict]:
    return trained(folder, "train_sft", *SFT, "--micro_train_batch_size", "2")


def test_sft_logs_under_the_names_of_0_6_2_and_evaluates_what_was_held_out(folder: Path, sft: list[dict]) -> None:
    assert [row["step"] for row in sft] == [1, 2, 3, 4, 5, 6]  # 3 batches of 10 samples, twice
    for row in sft:
        assert row["train/loss"] == pytest.approx(row["train/gpt_loss"])
        assert {"train/lr", "train/loss_mean", "train/grad_norm"} <= row.keys()
    assert sft[1]["train/loss_mean"] == pytest.approx(0.9 * sft[0]["train/loss"] + 0.1 * sft[1]["train/loss"])
    assert [row["step"] for row in sft if "eval/gpt_loss" in row] == [2, 4, 6]
    assert sft[-1]["train/gpt_loss"] < sft[0]["train/gpt_loss"]
    events = EventAccumulator(str(folder / "tb" / "sft"))
    events.Reload()
    assert {"train/gpt_loss", "train/lr", "train/loss_mean", "eval/gpt_loss"} <= set(events.Tags()["scalars"])
    assert [e.step for e in events.Scalars("train/gpt_loss")] == [1, 2, 3, 4, 5, 6]


def test_sft_keeps_as_many_checkpoints_and_copies_as_asked_for(folder: Path, sft: list[dict]) -> None:
    folders = sorted(path.name for path in (folder / "sft_ckpt").iterdir() if path.is_dir())
    assert folders == ["global_step5", "global_step5_hf", "global_step6", "global_step6_hf"]
    assert (folder / "sft_ckpt" / "latest").read_text() == "global_step6"
    last, final = folder / "sft_ckpt" / "global_step6_hf", folder / "sft"
    assert load_file(last / "model.safetensors").keys() == load_file(final / "model.safetensors").keys()
    assert "lm_head.weight" not in load_file(final / "model.safetensors")
    assert AutoModelForCausalLM.from_pretrained(final).config.use_cache


def test_sft_on_two_ranks_packed_and_sharded_logs_the_same_and_continues_exactly(folder: Path, sft: list[dict]) -> None:
    argv = [*SFT, "--packing_samples", "--zero_stage", "3", "--micro_train_batch_size", "1", "--max_ckpt_num", "9"]
    argv = ["sft2" + word[3:] if word in ("sft", "sft_ckpt") else word for word in argv]
    whole = trained(folder, "train_sft", *argv, ranks=2)
    assert len(whole) == len(sft)
    for ours, alone in zip(whole, sft, strict=True):
        assert ours == pytest.approx(alone, rel=2e-3)
    assert continued(folder, "train_sft", 4, *argv, ranks=2) == whole[4:]


def test_sft_on_plain_text_with_lora_and_no_deepspeed_checkpoints(folder: Path) -> None:
    argv = ["--pretrain", "model", "--dataset", "plain.jsonl", "--input_key", "text", "--pretrain_mode", *SMALL]
    argv += ["--lora_rank", "4", "--disable_ds_ckpt", "--save_hf_ckpt", "--max_ckpt_num", "1", "--max_epochs", "1"]
    rows = trained(folder, "train_sft", *argv, "--ckpt_path", "plain_ckpt", "--save_path", "plain", "--max_len", "20")
    assert len(rows) == 3
    assert [path.name for path in (folder / "plain_ckpt").glob("global_step*")] == ["global_step3_hf"]
    for saved in (folder / "plain", folder / "plain_ckpt" / "global_step3_hf"):
        assert sorted(path.name for path in (saved / "adapter").iterdir()) == [
            "adapter_config.json",
            "adapter_model.safetensors",
        ]


def test_sft_balances_experts(folder: Path) -> None:
    argv = ["--pretrain", "experts", "--dataset", "plain.jsonl", "--output_key", "output", *SMALL, "--max_epochs", "1"]
    argv += ["--aux_loss_coef", "0.1", "--ckpt_path", "experts_ckpt", "--save_path", "balanced"]
    for row in trained(folder, "train_sft", *argv):
        assert row["train/loss"] == pytest.approx(row["train/gpt_loss"] + 0.1 * row["train/aux_loss"])
    AutoModelForCausalLM.from_pretrained(folder / "balanced")


PRM = [
    *["--pretrain", "model", "--dataset", "steps", "--placeholder_token", "#", "--reward_tokens", "+", "-", *SMALL],
    *["--ckpt_path", "prm_ckpt", "--save_path", "prm", "--max_len", "24"],
]


def test_prm_logs_loss_and_accuracy(folder: Path) -> None:
    whole = trained(folder, "train_prm", *PRM, "--packing_samples")
    assert len(whole) == 3
    names = {"train/prm_loss", "train/acc", "train/lr", "train/loss_mean", "train/acc_mean"}
    assert all(names <= row.keys() for row in whole)
    assert {"eval/prm_loss", "eval/acc"} <= whole[-1].keys()
    assert AutoModelForCausalLM.from_pretrained(folder / "prm").lm_head.weight.shape == (258, 64)


def test_prm_says_what_it_cut_and_refuses_a_placeholder_of_several_tokens(folder: Path) -> None:
    done = run(folder, "train_prm", *PRM, "--plan_only", "--max_len", "12", "--aux_loss_coef", "0.1")
    assert done.returncode == 0, done.stderr
    # 12 characters of "So 1 # then 2 #…" hold one step: lost are the second step of 10 rows, and 0, 1 or 2 more of each
    cut = "10 of 12 samples are longer than --max_len 12: cut there, 19 steps with their labels were lost."
    assert f"note: train: {cut}" in done.stdout
    assert "note: --aux_loss_coef has no effect: the model is no mixture of experts." in done.stdout
    refused = run(folder, "train_prm", *PRM, "--overwrite", "--placeholder_token", "ки")
    assert refused.returncode == 2
    assert refused.stderr.count("error: --placeholder_token 'ки' is 4 tokens") == 1


@pytest.mark.faults
def test_kd_logs_both_losses_and_continues_exactly(folder: Path) -> None:
    argv = ["--pretrain", "model", "--teacher_model", "teacher", "--dataset", "plain.jsonl", *SMALL, "--kd_coef", "0.3"]
    argv += ["--zero_stage", "3", "--teacher_offload", "--ckpt_path", "kd_ckpt", "--save_path", "kd"]
    whole = trained(folder, "train_kd", *argv)
    for row in whole:
        mixed = 0.7 * row["train/gpt_loss"] + 0.3 * row["train/distil_loss"]
        assert row["train/loss"] == pytest.approx(mixed)
        assert {"train/lr", "train/loss_mean"} <= row.keys()
    assert continued(folder, "train_kd", 1, *argv) == whole[1:]


def test_kd_refuses_a_teacher_of_another_vocabulary(folder: Path) -> None:
    save_toy(folder / "stranger", vocab_size=300)
    argv = ["--pretrain", "model", "--teacher_model", "stranger", "--dataset", "plain.jsonl", "--save_path", "x"]
    refused = run(folder, "train_kd", *argv, "--plan_only")
    assert refused.returncode == 2
    assert "has 300 outputs, --pretrain model has 258" in refused.stderr


def test_checkpoints_and_copies_are_kept_below_a_size_but_never_the_newest(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        for kind in ("", "_hf"):
            (tmp_path / f"global_step{step}{kind}").mkdir()
            (tmp_path / f"global_step{step}{kind}" / "weights").write_bytes(b"x" * 1000)

    def left(gigabytes: float) -> list[str]:
        limit_size(tmp_path, gigabytes, 10)
        return sorted(path.name.removeprefix("global_step") for path in tmp_path.iterdir())

    assert len(left(6e-6)) == 6
    assert left(4e-6) == ["10", "10_hf", "2", "2_hf"]
    assert left(3.5e-6) == ["10", "10_hf", "2_hf"]
    assert left(0) == ["10", "10_hf"]
