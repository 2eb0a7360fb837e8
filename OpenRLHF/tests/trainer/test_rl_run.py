"""The InTRO command from its flags to its files: Ray, two ZeRO-3 ranks, an engine, graded rollouts, resume."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from openrlhf.trainer.rollout_files import read_steps
from openrlhf.view.runs import read_run
from toy_models import save_toy

# Rewards a random model can get: half of its responses, a fixed half.
REWARD = """
def reward_func(queries, prompts, labels):
    return [float(sum(query.encode()) % 2) for query in queries]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    save_toy(path / "model")
    (path / "reward.py").write_text(REWARD)
    rows = [{"problem": f"{a} + {b} =", "answer": str(a + b)} for a in range(4) for b in range(3)]
    (path / "prompts.json").write_text(json.dumps(rows))
    return path


def command(folder: Path, name: str, *flags: str) -> list[str]:
    return [
        *(sys.executable, "-m", "openrlhf.cli.train_ppo_ray_intro"),
        *("--pretrain", str(folder / "model"), "--prompt_data", str(folder / "prompts.json")),
        *("--input_key", "problem", "--label_key", "answer", "--remote_rm_url", str(folder / "reward.py")),
        *("--save_path", str(folder / name), "--ckpt_path", str(folder / f"{name}_ckpt"), "--save_steps", "1"),
        *("--actor_num_gpus_per_node", "2", "--zero_stage", "3", "--gradient_checkpointing"),
        *("--rollout_batch_size", "4", "--n_samples_per_prompt", "2", "--train_batch_size", "4"),
        *("--micro_train_batch_size", "2", "--prompt_max_len", "32", "--generate_max_len", "12"),
        *("--actor_learning_rate", "1e-3", "--vllm_kv_cache_mb", "64", "--hinted_eval_steps", "2", *flags),
    ]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": ""}


def run(folder: Path, name: str, *flags: str, status: int = 0) -> str:
    done = subprocess.run(
        command(folder, name, *flags), env=environment(), capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == status, (done.stdout + done.stderr)[-5000:]
    return done.stdout + done.stderr


def kill_after_a_checkpoint(folder: Path, name: str, *flags: str) -> None:
    killed = subprocess.Popen(
        command(folder, name, *flags),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    latest = folder / f"{name}_ckpt" / "_actor" / "latest"
    deadline = time.monotonic() + 300
    while not latest.is_file() and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert latest.is_file()


def metrics(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]


def without_times(row: dict) -> dict:
    return {name: v for name, v in row.items() if name.startswith(("train/", "eval/")) or name == "step"}


@pytest.fixture(scope="module")
def whole(folder: Path) -> list[dict]:
    """A run of three steps that nothing interrupts."""
    output = run(folder, "whole", "--use_tensorboard", str(folder / "tb"), "--wandb_run_name", "toy", "--save_rollouts")
    (folder / "whole.txt").write_text(output)
    return metrics(folder, "whole")


@pytest.mark.vllm
@pytest.mark.slow
def test_a_run_writes_metrics_checkpoints_samples_and_a_loadable_model(folder: Path, whole: list[dict]) -> None:
    assert [row["step"] for row in whole] == [1, 2, 3]
    for row in whole:
        assert row["train/optimizer_steps"] + row["train/skipped_steps"] == 2  # 8 sampled rationales, 4 a step
        assert 0 <= row["train/kept_share"] <= 1
        assert row["train/engine_gap_max"] < 1e-3  # engine and trainer agree after every weight sync
        assert row["train/w_max"] <= 200
        assert row["sync/compared"] > 0
    assert "train/hinted_accuracy" in whole[1]
    assert "train/hinted_accuracy" not in whole[0]
    checkpoints = folder / "whole_ckpt" / "_actor"
    assert (checkpoints / "latest").read_text() == "global_step3"
    assert sorted(f.name for f in checkpoints.glob("global_step*")) == [f"global_step{n}" for n in (1, 2, 3)]
    assert len((folder / "whole" / "samples.jsonl").read_text().splitlines()) == 3 * 4
    assert len(list((folder / "tb" / "toy").glob("events.out.tfevents.*"))) == 1
    trained = AutoModelForCausalLM.from_pretrained(folder / "whole").state_dict()
    start = AutoModelForCausalLM.from_pretrained(folder / "model").state_dict()
    assert any((trained[name] != start[name]).any() for name in start)
    assert AutoTokenizer.from_pretrained(folder / "whole").eos_token_id == 256
    assert GenerationConfig.from_pretrained(folder / "whole").eos_token_id == 256


@pytest.mark.vllm
@pytest.mark.slow
def test_a_run_prints_its_own_lines_alone_and_ends_with_a_report(folder: Path, whole: list[dict]) -> None:
    lines = (folder / "whole.txt").read_text().splitlines()
    own = ("Plan", "  ", "note: ", "starting Ray … ", "loading 2 × actor, 1 engine(s) … ", "step ", "Done: 3 steps in ")
    assert [line for line in lines if not line.startswith(own)] == []
    steps = [line for line in lines if line.startswith("step ")]
    assert [line.split(" | ")[0] for line in steps] == ["step 1/3", "step 2/3", "step 3/3"]
    assert max(map(len, steps)) <= 100
    for noise in ("Warning", "WARNING", "INFO", "dashboard", "NUMA", "riton", "pid=", "\x1b", "Loading weights"):
        assert not any(noise in line for line in lines), noise
    assert f"  report   {folder / 'whole' / 'report.html'}" in lines
    log = (folder / "whole" / "log" / "output.log").read_text(errors="replace")
    assert "Started a local Ray instance" in log
    assert len(read_run(folder / "whole").rationales) == 24
    assert "12 prompts" in read_run(folder / "whole").plan
    assert (folder / "whole" / "report.html").stat().st_size > 1e6


@pytest.mark.vllm
@pytest.mark.slow
def test_a_run_killed_after_a_checkpoint_continues_as_if_nothing_had_happened(folder: Path, whole: list[dict]) -> None:
    kill_after_a_checkpoint(folder, "killed")
    output = run(folder, "killed", "--load_checkpoint")
    assert "Continuing from" in output
    continued = metrics(folder, "killed")
    assert [row["step"] for row in continued] == [1, 2, 3]
    assert [without_times(row) for row in continued] == [without_times(row) for row in whole]


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.faults
def test_replayed_rollouts_train_the_same_without_an_engine(folder: Path, whole: list[dict]) -> None:
    kept = [file for number in (1, 2, 3) for file in read_steps(folder / "whole" / "rollouts", [number])]
    assert [len(file.rows) for file in kept] == [8, 8, 8]
    assert sum(row["trained"] for row in kept[0].rows) == whole[0]["train/kept"]
    output = run(folder, "replayed", "--replay", str(folder / "whole"), "--save_steps", "-1")
    assert "no engine: rollouts of" in output
    replayed = metrics(folder, "replayed")
    assert not any(name.startswith("sync/") for row in replayed for name in row)
    sampled = [{name: v for name, v in without_times(row).items() if "hinted_acc" not in name} for row in whole]
    assert [without_times(row) for row in replayed] == sampled


@pytest.mark.faults
def test_rollouts_made_ahead_are_a_step_older_and_go_on_with_weights_that_come_meanwhile(folder: Path) -> None:
    flags = ("--rollout_ahead", "1", "--rollout_inflight", "continue", "--advantage_estimator", "group_norm")
    run(folder, "ahead", *flags, "--init_kl_coef", "0", "--actor_num_gpus_per_node", "1")
    rows = metrics(folder, "ahead")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[0]["train/version_lag"] == 0
    assert rows[0]["train/behaviour_ratio_max"] == pytest.approx(1, abs=1e-3)
    for row in rows[1:]:
        assert 0 < row["train/version_lag"] <= 1
        assert "train/engine_gap_max" not in row  # policy and engine have different weights
        assert 0.5 < row["train/behaviour_ratio"] < 2
    waiting = folder / "ahead_ckpt" / "_actor" / "global_step2" / "rollouts_ahead.json"
    assert len(json.loads(waiting.read_text())[0]["rollouts"]) == 8


@pytest.mark.faults
@pytest.mark.vllm
@pytest.mark.slow
def test_a_run_with_rollouts_ahead_that_is_killed_continues_as_if_nothing_had_happened(folder: Path) -> None:
    flags = ("--rollout_ahead", "1")
    run(folder, "ahead_whole", *flags)
    kill_after_a_checkpoint(folder, "ahead_killed", *flags)
    run(folder, "ahead_killed", "--load_checkpoint", *flags)
    whole, continued = metrics(folder, "ahead_whole"), metrics(folder, "ahead_killed")
    assert [row["train/version_lag"] for row in whole] == [0, 1, 1]
    assert [without_times(row) for row in continued] == [without_times(row) for row in whole]


@pytest.mark.faults
@pytest.mark.slow
def test_without_any_correct_rationale_steps_are_skipped_and_the_run_ends_with_a_model(folder: Path) -> None:
    """The Hugging Face engine, padded rows, and the real grader, which finds no answer of a random model right."""
    output = run(
        folder,
        "skipped",
        "--remote_rm_url",
        "math",
        "--rollout_engine",
        "hf",
        "--no_pack_samples",
        "--max_samples",
        "4",
    )
    (row,) = metrics(folder, "skipped")
    assert (row["train/kept"], row["train/skipped_steps"], row["train/optimizer_steps"]) == (0, 2, 0)
    assert "train/policy_loss" not in row
    assert "skipped 2" in output
    saved = AutoModelForCausalLM.from_pretrained(folder / "skipped").state_dict()
    start = AutoModelForCausalLM.from_pretrained(folder / "model").state_dict()
    assert all((saved[name] == start[name]).all() for name in start)


def test_plan_only_prints_the_arithmetic_and_starts_nothing(folder: Path) -> None:
    output = run(folder, "planned", "--plan_only")
    assert "12 prompts × 1 episode(s), 4 a step: 3 steps" in output
    assert "every 4 sampled rationales: 6 steps in all" in output
    assert "2 actor rank(s), ZeRO-3" in output
    assert not (folder / "planned").exists()


def test_a_model_too_large_for_the_gpu_is_refused_with_the_flags_to_change(folder: Path) -> None:
    output = run(folder, "planned", "--plan_only", "--gpu_memory_gib", "0.001", status=2)
    assert "--zero_stage" in output
    assert "--micro_train_batch_size" in output


def test_lengths_beyond_the_context_are_refused(folder: Path) -> None:
    output = run(folder, "planned", "--plan_only", "--generate_max_len", "4096", status=2)
    assert "more than the model's 512" in output
