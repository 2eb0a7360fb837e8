"""Methods that are files of the user's own: run through --method, or refused with a reason."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from configuring import parsed
from openrlhf.cli.reading import settled
from openrlhf.config.rules import rl_rules
from openrlhf.config.settings import values_of
from openrlhf.errors import UserError
from openrlhf.methods.registry import load_method
from toy_models import save_toy

EXAMPLES = Path(__file__).resolve().parents[3] / "code/examples/methods"
# Rewards that a random model can get: about half of its responses, and not all of a prompt alike.
REWARD = """
def reward_func(queries, prompts, labels):
    return [float(sum(query.encode()) % 2) for query in queries]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own")
    save_toy(path / "model")
    (path / "reward.py").write_text(REWARD)
    rows = [{"problem": f"{a} + {b} =", "answer": str(a + b)} for a in range(4) for b in range(3)]
    (path / "prompts.json").write_text(json.dumps(rows))
    for file in EXAMPLES.glob("*.py"):
        shutil.copy(file, path / file.name)
    return path


def flags(folder: Path, name: str) -> list[str]:
    return [
        *("--pretrain", str(folder / "model"), "--prompt_data", str(folder / "prompts.json")),
        *("--input_key", "problem", "--label_key", "answer", "--remote_rm_url", str(folder / "reward.py")),
        *("--save_path", str(folder / name), "--actor_num_gpus_per_node", "1", "--init_kl_coef", "0"),
        *("--rollout_batch_size", "4", "--n_samples_per_prompt", "4", "--train_batch_size", "8"),
        *("--micro_train_batch_size", "4", "--prompt_max_len", "32", "--generate_max_len", "12"),
        *("--actor_learning_rate", "1e-3", "--vllm_kv_cache_mb", "64", "--hinted_eval_steps", "-1"),
    ]


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def documented() -> set[str]:
    """What docs/metrics.md says that every method logs."""
    text = (EXAMPLES.parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    return set(re.findall(r"train/\w+", text.split("\n## Training on fixed data")[0]))


def declared(folder: Path, name: str) -> set[str]:
    return {f"train/{metric}" for metric in load_method(str(folder / f"{name}.py")).metrics}


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.parametrize(
    ("name", "command", "own"),
    [
        (
            "hint_weighted",
            "train_ppo_ray",
            (
                *("--hint_bound", "0.5", "--eps_clip", "0.3"),
                *("--init_kl_coef", "0.01", "--colocate_actor_ref", "--ref_num_gpus_per_node", "1"),
            ),
        ),
        pytest.param("exact_on_all", "train_ppo_ray_intro", ("--all_temperature", "0.9"), marks=pytest.mark.faults),
    ],
)
def test_a_method_in_a_file_of_its_own_trains_three_steps_on_ray_and_vllm(
    name: str, command: str, own: tuple[str, ...], folder: Path
) -> None:
    if os.environ.get("INTRO_REQUIRE_VLLM") is None:
        pytest.importorskip("vllm")
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < 60
    argv = [*flags(folder, name), "--rollout_engine", "vllm", "--method", str(folder / f"{name}.py"), *own]
    done = subprocess.run(
        [sys.executable, "-m", f"openrlhf.cli.{command}", *argv],
        env={**os.environ, "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": ""},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    steps = metrics(folder / name)
    assert len(steps) == 3
    for step in steps:
        assert step["train/kept"] == 16  # every rollout is trained on, right or wrong
        assert 0 < step["train/accuracy"] < 1
        assert step["train/grad_norm"] > 0
        assert "train/critic_loss" not in step
        assert ("train/kl" in step) == (name == "hint_weighted")  # a reference model beside the policy
    if name == "hint_weighted":
        assert all(abs(step["train/hint_gap"]) <= 0.5 for step in steps)
        assert any(step["train/hint_gap"] != 0 for step in steps)
    else:
        assert steps[-1]["train/kl_posterior"] > 0
    assert {n for step in steps for n in step if n.startswith("train/")} <= documented() | declared(folder, name)
    run = yaml.safe_load((folder / name / "run.yaml").read_text())
    assert run["method"]["source"] == str(folder / f"{name}.py")
    again = parsed(command, "--config", str(folder / name / "run.yaml"))
    first = parsed(command, *argv, "--wandb_run_name", again.config.logging.wandb_run_name)
    assert values_of(again.config) == values_of(first.config)  # the file was loaded twice: two equal classes


def test_flags_of_other_methods_have_no_effect_and_say_whose_they_are(folder: Path) -> None:
    argv = (*flags(folder, "x"), "--method", str(folder / "hint_weighted.py"), "--lambd", "0.9", "--intro_top_k", "3")
    _, notes = settled(parsed("train_ppo_ray_intro", *argv), rl_rules)
    said = {note.split(" has no effect: ")[0]: note.split(": ")[1] for note in notes if " has no effect" in note}
    assert said["--lambd"] == "hint-weighted policy gradient has no such setting; gae has it."
    assert said["--intro_top_k"] == "hint-weighted policy gradient has no such setting; intro has it."


NO_METHOD = "x = 1\n"
BROKEN = "def f(:\n"
HEAD = """
from dataclasses import dataclass
from openrlhf.config.settings import setting
from openrlhf.methods.raft import Raft
from openrlhf.methods.base import RLMethod
"""
NOT_FROZEN = HEAD + "class Mine(Raft):\n    name = 'mine'\n"
ABSTRACT = HEAD + "@dataclass(frozen=True)\nclass Mine(RLMethod):\n    name = 'mine'\n    title = 'mine'\n"
TAKEN_NAME = HEAD + "@dataclass(frozen=True)\nclass Mine(Raft):\n    pass\n"
TAKEN_FLAG = HEAD + (
    "@dataclass(frozen=True)\nclass Mine(Raft):\n    name = 'mine'\n    gamma: float = setting(2.0, 'Mine.')\n"
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (NO_METHOD, "it defines no method; derive a class from openrlhf.methods.base.RLMethod"),
        (BROKEN, "SyntaxError while it is imported"),
        (NOT_FROZEN, r"write @dataclass\(frozen=True\) before class Mine"),
        (ABSTRACT, "Mine lacks objective"),
        (TAKEN_NAME, "Mine is called 'raft', as another method: give it another name"),
        (TAKEN_FLAG, "declares --gamma, which exists already: rename the field, or give the class a flag_prefix"),
    ],
)
def test_a_file_that_is_no_usable_method_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(UserError, match=said):
        parsed("train_ppo_ray", "--method", str(tmp_path / "mine.py"))


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("none.py", "there is no such file"),
        ("no_such_module:Mine", "No module named"),
        ("openrlhf.methods.raft:Nothing", "has no attribute"),
        ("openrlhf.methods.raft:LikelihoodObjective", "is no method"),
        ("openrlhf.methods.raft", "give a .py file, or module:Class"),
        ("openrlhf.methods.sft:SFT", "is no method for train_ppo_ray"),
    ],
)
def test_what_method_names_must_be_a_method_for_the_command(where: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parsed("train_ppo_ray", "--method", where)


def test_two_choices_of_a_method_contradict_each_other(folder: Path) -> None:
    with pytest.raises(UserError, match="both choose a method"):
        parsed("train_ppo_ray", "--method", str(folder / "hint_weighted.py"), "--advantage_estimator", "rloo")


@pytest.mark.slow
def test_the_class_of_an_own_method_reaches_processes_that_do_not_have_its_file(folder: Path) -> None:
    """As Ray's ranks on another machine: pickled by value, opened where the module cannot be imported."""
    code = f"""
import sys, subprocess
from openrlhf.cli.arguments import parse
from openrlhf.trainer.ray.launch import _send_by_value
from ray import cloudpickle
config = parse("train_ppo_ray", ["--method", {str(folder / "hint_weighted.py")!r}]).config
_send_by_value(config)
sys.stdout.buffer.write(cloudpickle.dumps(config))
"""
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    opened = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, pickle; c = pickle.loads(sys.stdin.buffer.read());"
            "print(c.method.name, type(c.method.objective(c)).__name__)",
        ],
        input=made,
        capture_output=True,
        check=True,
        cwd=folder.parent,
    )
    assert opened.stdout.decode().split() == ["hint_weighted", "HintObjective"]
