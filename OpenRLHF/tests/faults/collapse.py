"""A published setting that collapses, under each --on_anomaly: the exact form of InTRO with the posterior of the
present weights, at a constant rate of 3e-4, on the demo's problem (the comparison's long budget, half as long again).

python3 collapse.py FOLDER [ACTION…] warm-starts a model (minutes), trains it once for each action, and prints what was
said, accuracy while it trained, and how the run ended. FOLDER/seed0 may hold the data and the model already.
"""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ACTIONS = ("warn", "skip", "stop", "rollback")
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Ending:
    """accuracy, hinted: by step, of those that were evaluated. said: notes and errors. greedy: of the model at the end;
    None where there is none."""

    accuracy: dict[int, float]
    hinted: dict[int, float]
    said: tuple[str, ...]
    greedy: float | None
    status: int


def train(folder: Path, action: str) -> Ending:
    """One run in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    program = f"import collapse; collapse.run({str(folder)!r}, {action!r})"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=3600, check=False
    )
    (folder / f"{action}.log").write_text(done.stdout + done.stderr)
    rows = [json.loads(line) for line in (folder / action / "metrics.jsonl").read_text().splitlines()]
    result = folder / action / "result.json"
    return Ending(
        accuracy={row["step"]: row["eval/accuracy"] for row in rows if "eval/accuracy" in row},
        hinted={row["step"]: row["train/hinted_accuracy"] for row in rows if "train/hinted_accuracy" in row},
        said=tuple(line for line in done.stderr.splitlines() if line.startswith(("note: step", "error: "))),
        greedy=json.loads(result.read_text())["greedy"] if result.is_file() else None,
        status=done.returncode,
    )


def run(folder: str, action: str) -> None:
    from openrlhf.demo.comparison import Method
    from openrlhf.demo.comparison import run as compare
    from openrlhf.errors import UserError
    from openrlhf.trainer.deepspeed_setup import init_process_group

    own, seed = Path(folder) / action, Path(folder) / "seed0"
    own.mkdir()
    flags = ("--advantage_estimator", "intro", "--intro_estimator", "exact", "--hinted_eval_steps", "2")
    flags += ("--num_episodes", "3", "--on_anomaly", action)
    flags += ("--save_steps", "10", "--max_ckpt_num", "3", "--ckpt_path", str(own / "ckpt"))
    init_process_group()
    try:
        compare(Method(action, flags), "long", 0, seed / "data", seed / "base", own)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(2)


def make_base(folder: Path) -> None:
    """Data and warm-started model of seed 0, where they are not there yet."""
    file = ROOT / "code" / "examples" / "demo" / "compare_methods.py"
    spec = importlib.util.spec_from_file_location("compare_methods", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make_base(folder / "seed0", 0)


def main(argv: list[str]) -> int:
    folder, actions = Path(argv[0]), argv[1:] or ACTIONS
    make_base(folder)
    for action in actions:
        ending = train(folder, action)
        print(f"== {action}: status {ending.status}, greedy {ending.greedy}")
        for step, value in ending.accuracy.items():
            print(f"step {step}: accuracy {value:.3f}, hinted {ending.hinted.get(step, float('nan')):.3f}")
        print("\n".join(ending.said), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
