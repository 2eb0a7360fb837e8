"""The PPO command from its flags to its files: every role on ranks of its own and colocated, with resume."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from openrlhf.models.scalar import stored_head
from toy_models import byte_tokenizer, save_toy, toy_config

# Rewards a random model can get: half of its responses, a fixed half.
REWARD = """
def reward_func(queries, prompts, labels):
    return [float(sum(query.encode()) % 2) for query in queries]
"""


def save_reward_model(folder: Path, seed: int) -> str:
    """A random reward model as train_rm leaves it; returns its path."""
    torch.manual_seed(seed)
    config = toy_config(num_labels=1, mean=0.5, std=2.0, value_head_prefix="score")
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ppo")
    save_toy(path / "model")
    save_reward_model(path / "reward1", seed=1)
    (path / "reward.py").write_text(REWARD)
    rows = [{"problem": f"{a} + {b} =", "answer": str(a + b)} for a in range(4) for b in range(2)]
    (path / "prompts.json").write_text(json.dumps(rows))
    (path / "texts.jsonl").write_text("".join(json.dumps({"problem": f"{i} is {i}."}) + "\n" for i in range(5)))
    return path


def run(folder: Path, name: str, *flags: str, status: int = 0) -> str:
    """Two steps of eight responses each; later flags win."""
    command = [
        *(sys.executable, "-m", "openrlhf.cli.train_ppo_ray"),
        *("--pretrain", str(folder / "model"), "--prompt_data", str(folder / "prompts.json")),
        *("--input_key", "problem", "--label_key", "answer"),
        *("--save_path", str(folder / name), "--ckpt_path", str(folder / f"{name}_ckpt"), "--save_steps", "1"),
        *("--actor_num_gpus_per_node", "1", "--critic_num_gpus_per_node", "1"),
        *("--ref_num_gpus_per_node", "1", "--reward_num_gpus_per_node", "1", "--zero_stage", "3"),
        *("--rollout_batch_size", "4", "--n_samples_per_prompt", "2", "--train_batch_size", "4"),
        *("--micro_train_batch_size", "2", "--micro_rollout_batch_size", "2", "--rollout_engine", "hf"),
        *("--prompt_max_len", "32", "--generate_max_len", "8"),
        *("--actor_learning_rate", "1e-3", "--critic_learning_rate", "1e-3", *flags),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == status, (done.stdout + done.stderr)[-5000:]
    return done.stdout + done.stderr


def metrics(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]


def figures(row: dict) -> dict:
    return {name: value for name, value in row.items() if name.startswith("train/") or name == "step"}


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return AutoModelForCausalLM.from_pretrained(folder / name).state_dict()


@pytest.mark.slow
def test_ppo_with_every_role_on_ranks_of_its_own_continues_from_a_checkpoint(folder: Path) -> None:
    """Policy, critic, reference model, reward model and engine; two steps, the first one the critic's alone."""
    flags = (
        *("--reward_pretrain", str(folder / "reward1"), "--normalize_reward", "--save_value_network"),
        *("--freezing_actor_steps", "1", "--kl_target", "0.1", "--packing_samples"),
        *("--use_tensorboard", str(folder / "tb")),
    )
    output = run(folder, "whole", *flags)
    assert "The critic starts from" in output
    whole = metrics(folder, "whole")
    assert [row["step"] for row in whole] == [1, 2]
    for name in ("reward", "return", "response_length", "total_length", "kl", "critic_loss", "values", "critic_lr"):
        assert f"train/{name}" in whole[0], name
    assert (whole[0]["train/optimizer_steps"], whole[1]["train/optimizer_steps"]) == (0, 2)
    assert "train/policy_loss" in whole[1]
    assert whole[0]["train/kl"] == pytest.approx(0.0, abs=1e-6)
    assert whole[1]["train/kl_coef"] < 0.01  # KL lay below its target
    assert whole[1]["train/engine_gap_max"] < 1e-3
    for role in ("_actor", "_critic"):
        assert (folder / "whole_ckpt" / role / "latest").read_text() == "global_step2"
    assert stored_head(str(folder / "whole_critic"), "score") is not None
    assert list((folder / "tb").glob("*/events.out.tfevents.*"))

    # as if it had been killed after the first checkpoint
    (folder / "whole_ckpt" / "_actor" / "latest").write_text("global_step1")
    output = run(folder, "whole", *flags, "--load_checkpoint")
    assert "Continuing from" in output
    assert [figures(row) for row in metrics(folder, "whole")] == [figures(row) for row in whole]


@pytest.mark.slow
@pytest.mark.faults
def test_everything_colocated_with_kl_loss_moving_average_and_pretraining_text(folder: Path) -> None:
    """One device for actor, reference, critic and engine. The averaged weights are saved."""
    output = run(
        folder,
        "colocated",
        *("--remote_rm_url", str(folder / "reward.py"), "--colocate_all_models", "--vllm_num_engines", "1"),
        *("--use_kl_loss", "--kl_estimator", "k3", "--init_kl_coef", "0.1", "--enable_ema"),
        *("--pretrain_data", str(folder / "texts.jsonl"), "--ptx_coef", "0.5", "--max_epochs", "2"),
        *("--save_hf_ckpt", "--max_ckpt_num", "1", "--zero_stage", "3", "--deepspeed_enable_sleep"),
        "--vllm_enable_sleep",
    )
    assert "on the same ones" in output
    rows = metrics(folder, "colocated")
    assert all("train/ptx_loss" in row and "train/kl" in row for row in rows)
    assert rows[1]["train/optimizer_steps"] == 4
    last, averaged, start = (weights(folder, n) for n in ("colocated_ckpt/global_step2_hf", "colocated", "model"))
    moved = {name: (last[name] - start[name]).abs().max() for name in start}
    for name in start:
        # eight steps of decay 0.992: the average has gone less than a tenth of the way
        assert (averaged[name] - start[name]).abs().max() <= 0.1 * moved[name] + 1e-7
    assert any((averaged[name] != start[name]).any() for name in start)
    assert [f.name for f in (folder / "colocated_ckpt" / "_critic").glob("global_step*")] == ["global_step2"]
    assert [f.name for f in (folder / "colocated_ckpt").glob("*_hf")] == ["global_step2_hf"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "no reward: give --remote_rm_url"),
        (("--reward_pretrain", "{model}"), "so it gives no rewards"),
        (("--reward_pretrain", "{reward1}", "--reward_clip_range", "1", "-1"), "is empty: give the lower end first"),
        (("--remote_rm_url", "{reward}", "--advantage_estimator", "rloo", "--n_samples_per_prompt", "1"), "at least 2"),
        (("--remote_rm_url", "{reward}", "--critic_num_gpus_per_node", "3"), "not a multiple of 3 critic ranks"),
        (
            ("--remote_rm_url", "{reward}", "--colocate_all_models", "--ref_num_gpus_per_node", "2"),
            "actor and ref share their GPUs",
        ),
        (("--remote_rm_url", "{reward}", "--pretrain_data", "{nothing}"), "there is no such file"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(
    folder: Path, flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from openrlhf.cli.train_ppo_ray import main

    places = {"model": folder / "model", "reward1": folder / "reward1", "reward": folder / "reward.py"}
    places["nothing"] = folder / "nothing.jsonl"
    base = [
        "--pretrain",
        str(folder / "model"),
        "--prompt_data",
        str(folder / "prompts.json"),
        "--input_key",
        "problem",
    ]
    devices = [f"--{role}_num_gpus_per_node" for role in ("actor", "critic", "ref", "reward")]
    lengths = ["--prompt_max_len", "32", "--generate_max_len", "8"]
    argv = [*base, *lengths, *(word for device in devices for word in (device, "1"))]
    assert main([*argv, *(flag.format(**places) for flag in flags), "--plan_only"]) == 2
    assert message in capsys.readouterr().err
