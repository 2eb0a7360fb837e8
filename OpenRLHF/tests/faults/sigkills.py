"""SIGKILLs at random instants over one run: driver, ranks and engines by turns; what is left is compared, bit for bit,
with a run that was not disturbed.

python3 sigkills.py FOLDER [--kills 50] [--seed 0] [--steps 60] [--engine hf|vllm] prints each kill and the figures.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from openrlhf.utils.signals import descendants
from toy_models import save_toy

REWARD = "def reward_func(queries, prompts, labels):\n    return [float(sum(q.encode()) % 2) for q in queries]\n"
PARTS = {"driver": "", "rank": "PolicyWorker", "engine": "EngineActor"}
WINDOW_S = 2.0  # a kill comes within so many seconds after the next step was logged,
WHILE_LOADING = 0.2  # or at this rate after its part is there


def make_folder(folder: Path, steps: int) -> None:
    """A model, a reward, and prompts for so many steps."""
    folder.mkdir(parents=True, exist_ok=True)
    save_toy(folder / "model")
    (folder / "reward.py").write_text(REWARD)
    rows = [{"problem": f"{a} + {b} =", "answer": str(a + b)} for a in range(steps) for b in range(4)]
    (folder / "rows.json").write_text(json.dumps(rows))


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
        lines = file.read_text().splitlines() if file.is_file() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def wait_for_step(self, step: int) -> None:
        deadline = time.monotonic() + 300
        while len(self.rows()) < step and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)

    def processes(self, title: str) -> list[int]:
        return [p for p in descendants(self.process.pid) if title in title_of(p)]

    def kill(self, title: str) -> int:
        """How many of its processes with this title there were."""
        found = self.processes(title)
        for process in found:
            os.kill(process, signal.SIGKILL)
        return len(found)

    def kill_driver(self) -> None:
        """The command's process; what it started is given time to notice, and then removed."""
        parts = descendants(self.process.pid)
        self.process.kill()
        self.process.wait()
        deadline = time.monotonic() + 5
        while any(map(title_of, parts)) and time.monotonic() < deadline:
            time.sleep(0.1)
        for part in parts:
            if title_of(part):
                os.kill(part, signal.SIGKILL)

    def end(self) -> str:
        """Its output; it must have ended well."""
        status = self.process.wait(timeout=600)
        assert status == 0, self.log.read_text()[-4000:]
        return self.log.read_text()


def title_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def result(run: Run) -> dict[str, Any]:
    """What must not depend on the disturbance: figures but for times, samples, the model's bytes."""
    kept = ("train/", "eval/", "step")
    rows = [{name: value for name, value in row.items() if name.startswith(kept)} for row in run.rows()]
    where = run.folder / run.name
    weights = hashlib.sha256((where / "model.safetensors").read_bytes()).hexdigest()
    return {"metrics": rows, "samples": (where / "samples.jsonl").read_text(), "weights": weights}


def disturbed(folder: Path, name: str, kills: int, seed: int, flags: Sequence[str]) -> tuple[Run, Counter[str], int]:
    """The run to its end through so many kills, how many parts of which kind were hit, and how often it was started."""
    draw, hit, starts = random.Random(seed), Counter[str](), 1
    run = Run(folder, name, *flags)
    while hit.total() < kills and run.process.poll() != 0:
        part = list(PARTS)[hit.total() % len(PARTS)]
        wait, loading = draw.uniform(0, WINDOW_S), draw.random() < WHILE_LOADING
        before, limit = len(run.rows()), time.monotonic() + 300
        while run.process.poll() is None and time.monotonic() < limit:
            there = run.processes(PARTS[part] or "PolicyWorker")
            if there and (loading or len(run.rows()) > before):
                break
            time.sleep(0.05)
        time.sleep(wait)
        if run.process.poll() is None:
            step = len(run.rows())
            if part == "driver":
                run.kill_driver()
                hit[part] += 1
            else:
                hit[part] += bool(run.kill(PARTS[part]))
            when = "loading" if loading else "training"
            print(f"kill {hit.total()}: {part}, {when}, {step} steps logged", flush=True)
        if part != "engine" or run.process.poll() is not None:
            if part == "rank":
                run.process.wait(timeout=120)  # it names the rank, and ends
            if run.process.poll() not in (None, 0):
                run, starts = Run(folder, name, "--load_checkpoint", *flags), starts + 1
        else:
            time.sleep(0.5)
    while run.process.wait(timeout=900) != 0:
        run, starts = Run(folder, name, "--load_checkpoint", *flags), starts + 1
    return run, hit, starts


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name, value in (("kills", 50), ("seed", 0), ("steps", 60)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--engine", choices=("hf", "vllm"), default="hf")
    args = parser.parse_args(argv)
    make_folder(args.folder, args.steps)
    flags = ["--rollout_engine", args.engine]
    if args.engine == "vllm":
        flags += ["--vllm_sync_backend", "gloo", "--enforce_eager", "--vllm_kv_cache_mb", "64"]
    started = time.monotonic()
    whole = Run(args.folder, "whole", *flags)
    whole.end()
    print(f"undisturbed: {args.steps} steps in {time.monotonic() - started:.0f} s", flush=True)
    started = time.monotonic()
    run, hit, starts = disturbed(args.folder, "killed", args.kills, args.seed, flags)
    wanted, found = result(whole), result(run)
    differ = [name for name in wanted if wanted[name] != found[name]]
    print(f"{hit.total()} kills ({dict(hit)}), {starts} starts, {time.monotonic() - started:.0f} s")
    print(f"weights {found['weights']}, {len(found['metrics'])} steps; different: {', '.join(differ) or 'nothing'}")
    return 1 if differ or hit.total() < args.kills else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
