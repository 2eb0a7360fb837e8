"""Every shell script parses, and refuses what it does not know before it does anything."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from configuring import Flat, parsed

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = sorted(path for path in (*ROOT.glob("*.sh"), *ROOT.glob("code/**/*.sh"), ROOT / ".ci/run") if path.is_file())


TRAINING_SCRIPTS = (
    "a_train_InTRO_math_ray.sh",
    "b_train_GRPO_math_ray.sh",
    "c_train_RLOO_math_ray.sh",
    "d_train_REINFORCEpp_math_ray.sh",
    "e_train_PPO_math_ray.sh",
)


def test_the_scripts_that_users_run_are_there():
    names = {path.name for path in SCRIPTS}
    assert {"quickstart.sh", "test.sh", "a_train_InTRO_math_ray.sh", "ray_cluster.sh", "environment.sh"} <= names


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse(script):
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script):
    command = ["shellcheck", "--shell=bash", "--severity=warning", "--exclude=SC1090,SC1091", str(script)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("arguments", [["--seed"], ["--seed", "x"], ["--seed", "-1"], ["7"]], ids=" ".join)
def test_the_quickstart_refuses_what_it_does_not_know_before_it_installs_anything(arguments):
    done = subprocess.run(["bash", str(ROOT / "quickstart.sh"), *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: bash quickstart.sh [--seed N]")
    assert done.stdout == ""


@pytest.fixture
def training_command(tmp_path):
    """A function that runs a training script with a `ray_submit` that prints its arguments, one per line."""
    examples = tmp_path / "examples"
    examples.mkdir()
    for name in (*TRAINING_SCRIPTS, "math_ray.sh"):
        (examples / name).write_bytes((ROOT / "code/examples" / name).read_bytes())
    (examples / "grading").mkdir()
    (examples / "grading" / "math_grade.py").write_bytes((ROOT / "code/examples/grading/math_grade.py").read_bytes())
    (examples / "ray_cluster.sh").write_text('ray_submit() { printf "%s\\n" "$CUDA_VISIBLE_DEVICES" "$@"; }\n')

    def run(*arguments: str, script: str = TRAINING_SCRIPTS[0], **variables: str) -> list[str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("CUDA_VISIBLE_DEVICES", "SWITCHES")}
        command = ["bash", str(examples / script), *arguments]
        done = subprocess.run(command, env={**kept, **variables}, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    return run


def test_the_training_script_is_the_published_configuration(training_command):

    gpus, *command = training_command(PRETRAIN="some/model")
    assert gpus == "3,4,5,6,7"
    assert command[:3] == ["python3", "-m", "openrlhf.cli.train_ppo_ray_intro"]
    args = Flat(parsed("train_ppo_ray_intro", *command[3:]).config)
    assert args.pretrain == "some/model"
    assert (args.actor_num_gpus_per_node, args.vllm_num_engines, args.vllm_tensor_parallel_size) == (4, 1, 1)
    assert (args.micro_train_batch_size, args.train_batch_size, args.rollout_batch_size) == (2, 128, 1024)
    assert (args.n_samples_per_prompt, args.temperature, args.actor_learning_rate) == (4, 0.8, 5e-7)
    assert (args.prompt_max_len, args.generate_max_len, args.zero_stage) == (1024, 2048, 3)
    assert (args.intro_num_candidates, args.intro_top_k) == (5, 20)
    assert args.bf16
    assert args.flash_attn
    assert args.packing_samples
    assert args.gradient_checkpointing
    assert args.input_template is None
    assert not args.apply_chat_template


@pytest.mark.parametrize(
    ("script", "method"), list(zip(TRAINING_SCRIPTS, ("intro", "group_norm", "rloo", "reinforce", "gae"), strict=True))
)
def test_every_method_trains_on_the_same_data_and_five_gpus(training_command, script, method):

    from openrlhf.config.rules import rl_rules
    from openrlhf.trainer.ray.cluster import layout

    gpus, *command = training_command(script=script, PRETRAIN="some/model")
    assert gpus == "3,4,5,6,7"
    config, _ = rl_rules(parsed("train_ppo_ray_intro", *command[3:], "--attn_implementation", "sdpa").config)
    args = Flat(config)
    assert config.method.name == method
    assert args.save_path.endswith(f"qwen2.5-1.5b-{method}")
    assert (args.rollout_batch_size, args.n_samples_per_prompt, args.train_batch_size) == (1024, 4, 128)
    assert args.actor_learning_rate == 5e-7
    assert sum(own.ranks for own in layout(config)) == 5


def test_flags_that_are_appended_count_and_switches_can_be_taken_away(training_command):

    gpus, *command = training_command(
        "--temperature",
        "1.0",
        "--intro_answer_template",
        " A: {answer} $x `y`",
        SWITCHES="",
        CUDA_VISIBLE_DEVICES="0,1",
    )
    args = Flat(parsed("train_ppo_ray_intro", *command[3:]).config)
    assert gpus == "0,1"
    assert args.temperature == 1.0
    assert args.intro_answer_template == " A: {answer} $x `y`"
    assert not args.bf16
    assert not args.gradient_checkpointing
