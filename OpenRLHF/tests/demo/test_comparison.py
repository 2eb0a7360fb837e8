"""The comparison of methods: one step of some of them on an untrained model, and the table that is made of results."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from openrlhf.demo.comparison import BUDGETS, METHODS, run_folder
from openrlhf.demo.comparison_report import draw, markdown, read_results

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
from pathlib import Path
from openrlhf.demo.comparison import METHODS, run, run_folder
from openrlhf.trainer.deepspeed_setup import init_process_group

init_process_group()
root = Path(sys.argv[1])
for name in sys.argv[2:]:
    method = next(method for method in METHODS if method.name == name)
    run(method, "short", 0, root / "data", root / "data" / "model", run_folder(root, name, "short", 0))
"""
RUN = ("SFT", "PPO", "InTRO n=5, frozen posterior", "InTRO n=5, wrong hint")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One rollout batch of problems, and results of four methods."""
    path = tmp_path_factory.mktemp("comparison")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    sizes = ["--train_problems", "64", "--held_out_problems", "6", "--warm_start_texts", "200"]
    demo = ROOT / "code" / "examples" / "demo" / "make_demo_data.py"
    preprocessing = ROOT / "code" / "data" / "data_preprocessing.py"
    levels = ["--min_level", "1", "--save_path", str(path / "data" / "train.json")]
    for command in (
        [str(demo), "--output_dir", str(path / "data"), *sizes],
        [str(preprocessing), "--data_dir", str(path / "data" / "math"), *levels],
        ["-c", PROGRAM, str(path), *RUN],
    ):
        done = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=400, check=False
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return path


@pytest.mark.slow
def test_methods_run_from_data_to_result(root: Path) -> None:
    results = read_results(root)["short"]
    assert set(results) == set(RUN)
    for (result,) in results.values():
        assert result["problems"] == 6
        assert 0 <= result["greedy"] <= 1
        assert result["cpu_seconds"] > 0
    rows = [json.loads(line) for line in (run_folder(root, "SFT", "short", 0) / "metrics.jsonl").open()]
    assert rows[-1]["train/kept_share"] == 1.0  # gold solutions are all trained on
    assert rows[-1]["train/optimizer_steps"] == 1
    draw(read_results(root), root / "picture.png")
    assert (root / "picture.png").stat().st_size > 10_000


def test_the_table_pools_problems_over_seeds(tmp_path: Path) -> None:
    for seed, greedy in ((1, 0.5), (0, 0.25)):
        folder = run_folder(tmp_path, "RAFT", "short", seed)
        folder.mkdir(parents=True)
        result = {"method": "RAFT", "budget": "short", "seed": seed, "problems": 100, "greedy": greedy}
        result |= {"sampled": 0.2, "greedy_length": 20.0, "cpu_seconds": 30.0 + seed}
        (folder / "result.json").write_text(json.dumps(result))
    table = markdown(read_results(tmp_path))
    # 75 of 200: Wilson's interval is 31.1 to 44.4%
    assert "| RAFT | 37.5% (31.1–44.4) | 25.0 · 50.0 | 20.0% | 20.0 | 30 |" in table
    assert "long budget" not in table


def test_every_method_and_budget_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = {run_folder(tmp_path, m.name, b, s) for m in METHODS for b in BUDGETS for s in (0, 1)}
    assert len(folders) == len(METHODS) * len(BUDGETS) * 2
