"""train_rm, train_dpo and train_kto as a user types them, on toy data."""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

import pytest
import torch
from preference_program import FLAGS
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from configuring import rl_config
from openrlhf.cli import train_dpo, train_kto, train_rm
from openrlhf.errors import UserError
from openrlhf.models.loader import load_scalar
from openrlhf.models.ragged import RaggedRows
from openrlhf.models.reward_scale import reward_scale
from openrlhf.models.saving import save_pretrained
from openrlhf.utils.network import free_port
from toy_models import save_toy

COMMON = "--pretrain model --max_epochs 2 --train_batch_size 8 --micro_train_batch_size 2 --learning_rate 1e-3"
# Steps 1 to 6; the only checkpoint is that of step 4.
CHECKPOINTS = "--save_steps 4 --eval_steps 3 --save_hf_ckpt"
COMMANDS = {
    "train_rm": "--dataset pairs --prompt_key question --margin_loss --lora_rank 4",
    "train_dpo": "--dataset pairs --prompt_key question --nll_loss_coef 0.1 --lora_rank 4 --packing_samples",
    "train_kto": "--dataset single --output_key output --zero_stage 3 --packing_samples",
}


def sums(count: int) -> list[tuple[int, int]]:
    return [(n * 7 % 10, n * 3 % 8) for n in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("commands")
    save_toy(path / "model")
    for split, count in (("train", 24), ("test", 6)):
        pairs = [
            {"question": f"{a}+{b}=", "chosen": f"right {a + b}", "rejected": f"no {a - b}", "margin": 0.2}
            for a, b in sums(count)
        ]
        single = [
            {"input": p["question"], "output": p["chosen" if n % 3 else "rejected"], "label": bool(n % 3)}
            for n, p in enumerate(pairs)
        ]
        for name, rows in (("pairs", pairs), ("single", single)):
            (path / name).mkdir(exist_ok=True)
            (path / name / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(folder: Path, command: str, flags: str, *, launcher: str = "") -> str:
    """The command's output."""
    argv = [sys.executable, "-m", *launcher.split(), f"openrlhf.cli.{command}", *COMMON.split(), *flags.split()]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def metrics(path: Path) -> list[dict]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "time"} for row in rows]


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    for command, flags in COMMANDS.items():
        run(folder, command, f"{flags} {CHECKPOINTS} --save_path {command} --ckpt_path {command}_ckpt")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_learns_logs_its_names_and_leaves_its_files(command: str, trained: Path) -> None:
    rows = metrics(trained / command / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    names = {"loss", "chosen_reward", "reject_reward", "lr", "loss_mean", "grad_norm"}
    names |= {"kl"} if command == "train_kto" else {"acc", "acc_mean"}
    for row in rows:
        assert {f"train/{name}" for name in names} <= set(row)
    assert {"eval/loss", "eval/chosen_reward", "eval/reject_reward"} <= set(rows[2]) & set(rows[5])
    assert rows[5]["eval/loss"] < rows[2]["eval/loss"]
    assert rows[5]["eval/chosen_reward"] > rows[5]["eval/reject_reward"]
    for made in (command, f"{command}_ckpt/global_step4_hf"):
        assert (trained / made / "model.safetensors").is_file()
        assert (trained / made / "tokenizer.json").is_file()
    assert (trained / f"{command}_ckpt" / "latest").read_text() == "global_step4"


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_continued_run_repeats_the_figures_of_one_that_was_not_interrupted(command: str, trained: Path) -> None:
    whole = metrics(trained / command / "metrics.jsonl")
    flags = f"{COMMANDS[command]} {CHECKPOINTS} --save_path {command}_again --ckpt_path {command}_ckpt"
    run(trained, command, f"{flags} --load_checkpoint")
    assert metrics(trained / f"{command}_again" / "metrics.jsonl") == whole[4:]


def rewards_of(model, tokenizer, texts: list[str]) -> list[float]:
    """One text at a time."""
    with torch.no_grad():
        return [float(model(**tokenizer(text, return_tensors="pt")).logits) for text in texts]


@pytest.mark.slow
def test_a_reward_model_opens_in_transformers_with_the_scale_of_its_rewards(trained: Path) -> None:
    path = str(trained / "train_rm")
    model = AutoModelForSequenceClassification.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    pairs = [json.loads(line) for line in (trained / "pairs" / "test.jsonl").read_text().splitlines()]
    texts = [f"{pair['question']}{pair[side]} <|endoftext|>" for pair in pairs for side in ("chosen", "rejected")]
    rewards = rewards_of(model, tokenizer, texts)
    config = json.loads((trained / "train_rm" / "config.json").read_text())
    assert config["architectures"] == ["Qwen2ForSequenceClassification"]
    assert config["value_head_prefix"] == "score"
    assert (config["mean"], config["std"]) == pytest.approx((mean(rewards), stdev(rewards)), rel=1e-4)
    scale = reward_scale(path)
    torch.testing.assert_close(
        scale.normalized(torch.tensor(rewards)),
        (torch.tensor(rewards) - mean(rewards)) / stdev(rewards),
        rtol=1e-4,
        atol=1e-4,
    )
    own = own_rewards(path, [tokenizer(text)["input_ids"] for text in texts])
    torch.testing.assert_close(own, torch.tensor(rewards), rtol=1e-5, atol=1e-5)


def own_rewards(path: str, ids: list[list[int]]) -> torch.Tensor:
    model = load_scalar(path, rl_config(**FLAGS).model, trainable=False, head_prefix="the_config_names_another")
    with torch.no_grad():
        return model(RaggedRows.build(ids, [[len(row) - 1] for row in ids]))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train_rm", pytest.param("train_kto", marks=pytest.mark.faults)])
def test_two_ranks_train_as_one_does(command: str, trained: Path) -> None:
    """Padded or packed, sharded or not, more accumulation steps: the figures are the same, the KL of KTO included."""
    launcher = f"torch.distributed.run --nproc_per_node 2 --master_port {free_port()} -m"
    other = "--zero_stage 3 --gradient_checkpointing" if command == "train_rm" else "--zero_stage 2"
    flags = f"{COMMANDS[command]} --eval_steps 3 {other} --micro_train_batch_size 1 --save_path {command}_two"
    run(trained, command, flags, launcher=launcher)
    one, two = (metrics(trained / name / "metrics.jsonl") for name in (command, f"{command}_two"))
    for left, right in zip(one, two, strict=True):
        assert right == pytest.approx(left, rel=1e-3, abs=1e-5)


def test_a_head_under_another_name_is_found_again(folder: Path) -> None:
    config = rl_config(**FLAGS).model
    model = load_scalar(str(folder / "model"), config, trainable=False, head_prefix="value_head", new_head=True)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    save_pretrained(model, tokenizer, folder / "value_head", source=str(folder / "model"))
    rows = RaggedRows.build([[1, 2, 3]], [[2]])
    assert own_rewards(str(folder / "value_head"), [[1, 2, 3]]) == model(rows)
    assert reward_head(folder / "value_head") == "value_head"


def reward_head(folder: Path) -> str:
    return json.loads((folder / "config.json").read_text())["value_head_prefix"]


def test_a_model_without_a_scale_is_refused_for_normalisation(folder: Path) -> None:
    with pytest.raises(UserError, match=r"--normalize_reward: the config.json of .* has no usable mean and std"):
        reward_scale(str(folder / "model"))


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        (train_rm, "--dataset single", "error: row 0 has no field 'chosen': choose --chosen_key"),
        (train_rm, "--dataset bare.jsonl --margin_loss", "error: --margin_loss: none of the rows has a field 'margin'"),
        (train_kto, "--dataset pairs --output_key chosen", "error: row 0 has no field 'label': choose --label_key"),
        (train_dpo, "--dataset pairs --ref_pretrain other", "error: --ref_pretrain other: its tokenizer's vocabulary"),
    ],
)
def test_mistakes_end_with_status_2_and_one_sentence(
    command, flags: str, message: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(folder)
    (folder / "bare.jsonl").write_text('{"chosen": "a", "rejected": "b"}\n')
    save_other_model(folder)
    assert command.main([*COMMON.split(), *flags.split()]) == 2
    assert message in capsys.readouterr().err


def save_other_model(folder: Path) -> None:
    save_toy(folder / "other")
    tokenizer = AutoTokenizer.from_pretrained(folder / "other")
    tokenizer.add_tokens(["<extra>"])
    tokenizer.save_pretrained(folder / "other")
