"""`benchmarks/gpu.sh` as far as it goes without a GPU: its time limit, results at once, what it needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# What a machine with torch, transformers and the fetched wheels does not have.
WITHOUT = """
import sys

for name in ("ray", "vllm", "datasets", "peft", "math_verify", "latex2sympy2_extended", "starlette", "uvicorn"):
    sys.modules[name] = None
import pytest
CHOSEN = "cpu or colocated_step_with_engine"
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", sys.argv[1], "-k", CHOSEN]))
"""


@pytest.mark.slow
def test_it_stops_at_its_time_limit_with_every_result_so_far_written_down(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(ROOT / "benchmarks" / "gpu.sh"), "--toy", str(tmp_path / "out")],
        env={**os.environ, "BUDGET": "12", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    summary = (tmp_path / "out" / "summary.txt").read_text()
    assert summary.startswith("row machine: green"), summary
    assert "row step-0.6B-intro: left out, no time" in summary
    rows = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert rows[0]["row"] == "machine"
    assert rows[0]["device"] == "CPU, toy sizes"


@pytest.mark.faults
@pytest.mark.slow
def test_the_tests_of_a_gpu_need_neither_ray_nor_vllm_nor_any_other_library_that_is_not_carried_there() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(ROOT / "OpenRLHF" / "tests" / "gpu")],
        env={**os.environ, "INTRO_GPU_TOY": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "6 passed" in done.stdout, done.stdout[-2000:]


def test_without_a_gpu_its_tests_are_skipped_and_say_so() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    environment = {name: value for name, value in os.environ.items() if name != "INTRO_GPU_TOY"}
    folder = str(ROOT / "OpenRLHF" / "tests" / "gpu" / "test_a_scores.py")
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", folder]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert "no GPU here" in done.stdout
    assert "passed" not in done.stdout
