"""Parts of a run killed while it trains: it ends as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from openrlhf.utils.signals import descendants
from toy_models import save_toy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]
REWARD = "def reward_func(queries, prompts, labels):\n    return [float(sum(q.encode()) % 2) for q in queries]\n"
STEPS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kills")
    save_toy(path / "model")
    (path / "reward.py").write_text(REWARD)
    rows = [{"problem": f"{a} + {b} =", "answer": str(a + b)} for a in range(STEPS) for b in range(4)]
    (path / "rows.json").write_text(json.dumps(rows))
    return path


class Run:
    """A run in the background. It has its own Ray, so that its processes are its descendants."""

    def __init__(self, folder: Path, name: str, *flags: str) -> None:
        self.folder, self.name = folder, name
        command = [sys.executable, "-m", "openrlhf.cli.train_ppo_ray_intro", "--pretrain", "model"]
        command += ["--prompt_data", "rows.json", "--input_key", "problem", "--label_key", "answer"]
        command += ["--remote_rm_url", "reward.py", "--save_path", name, "--ckpt_path", f"{name}_ckpt"]
        command += ["--save_steps", "1", "--actor_num_gpus_per_node", "1", "--rollout_engine", "hf"]
        command += ["--rollout_batch_size", "4", "--n_samples_per_prompt", "2", "--train_batch_size", "4"]
        command += ["--micro_train_batch_size", "2", "--prompt_max_len", "32", "--generate_max_len", "24"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_ADDRESS": ""}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        self.log = folder / f"{name}.log"
        with self.log.open("a") as out:
            self.process = subprocess.Popen(
                [*command, *flags], cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True
            )

    def rows(self) -> list[dict]:
        file = self.folder / self.name / "metrics.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []

    def wait_for_step(self, step: int) -> None:
        deadline = time.monotonic() + 300
        while len(self.rows()) < step and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)

    def kill(self, title: str) -> int:
        """How many of its processes with this title there were."""
        found = [p for p in descendants(self.process.pid) if title in _title(p)]
        for process in found:
            os.kill(process, signal.SIGKILL)
        return len(found)

    def end(self) -> str:
        """Its output; it must have ended well."""
        status = self.process.wait(timeout=600)
        assert status == 0, self.log.read_text()[-4000:]
        return self.log.read_text()


def _title(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def result(run: Run) -> tuple[list[dict], dict]:
    """Figures and weights, without what depends on the clock."""
    kept: Callable[[str], bool] = lambda name: name.startswith(("train/", "eval/")) or name == "step"  # noqa: E731
    rows = [{name: value for name, value in row.items() if kept(name)} for row in run.rows()]
    weights = load_file(run.folder / run.name / "model.safetensors")
    return rows, {name: tensor.tolist() for name, tensor in weights.items()}


@pytest.fixture(scope="module")
def undisturbed(folder: Path) -> tuple[list[dict], dict]:
    run = Run(folder, "whole")
    run.end()
    return result(run)


def test_an_engine_killed_every_other_step_changes_nothing(folder: Path, undisturbed: tuple) -> None:
    run = Run(folder, "engines")
    killed = 0
    for step in (1, 3, 5):
        run.wait_for_step(step)
        killed += run.kill("EngineActor")
    said = run.end()
    assert killed >= 2
    assert said.count("it is started anew and asked again") >= 1
    assert result(run) == undisturbed


def test_a_killed_rank_is_named_and_the_run_goes_on_by_itself(folder: Path, undisturbed: tuple) -> None:
    run = Run(folder, "ranks", "--max_restarts", "1")
    run.wait_for_step(3)
    assert run.kill("PolicyWorker") == 1
    said = run.end()
    assert "note: rank 0 of the actor" in said
    assert "restart 1 of 1" in said
    assert result(run) == undisturbed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_and_all_its_processes(folder: Path, number: signal.Signals, undisturbed: tuple) -> None:
    run = Run(folder, f"stopped{int(number)}", "--save_on_signal", "--save_steps", "-1")
    run.wait_for_step(2)
    parts = descendants(run.process.pid)
    run.process.send_signal(number)
    assert run.process.wait(timeout=60) == 128 + number
    assert run.log.read_text().splitlines()[-1] == f"ended by {number.name}"
    time.sleep(1)
    assert [p for p in parts if "ray" in _title(p)] == []
    done = len(run.rows())
    again = Run(folder, f"stopped{int(number)}", "--load_checkpoint", "--save_steps", "-1")
    again.end()
    assert done < STEPS
    assert result(again) == undisturbed
