"""The published training script on faked GPUs: four actor ranks and one engine, at toy size."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from toy_models import save_toy

SCRIPT = Path(__file__).parents[3] / "code" / "examples" / "a_train_InTRO_math_ray.sh"
SMALL = [
    *("--rollout_batch_size", "4", "--train_batch_size", "8", "--prompt_max_len", "32", "--generate_max_len", "12"),
    *("--vllm_kv_cache_mb", "64", "--save_steps", "-1"),
]
REWARD = "def reward_func(queries, prompts, labels):\n    return [float(sum(q.encode()) % 2) for q in queries]\n"


def run_script(folder: Path, gpus: int, *flags: str) -> subprocess.CompletedProcess:
    environment = {
        **os.environ,
        "PRETRAIN": str(folder / "model"),
        "PROMPT_DATA": str(folder / "prompts.json"),
        "SAVE_PATH": str(folder / "trained"),
        "RAY_NUM_GPUS": str(gpus),
        "RAY_ADDRESS": "",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        ["bash", str(SCRIPT), *SMALL, *flags], env=environment, capture_output=True, text=True, timeout=500, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script")
    save_toy(path / "model")
    (path / "reward.py").write_text(REWARD)
    rows = [{"problem": f"{a} + 1 =", "answer": str(a + 1)} for a in range(8)]
    (path / "prompts.json").write_text(json.dumps(rows))
    return path


@pytest.mark.vllm
@pytest.mark.slow
def test_four_ranks_and_an_engine_take_five_gpus_and_train_two_steps(folder: Path) -> None:
    done = run_script(folder, 5, "--remote_rm_url", str(folder / "reward.py"))
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    assert "devices     5: 4 actor rank(s), ZeRO-3, bf16" in output
    rows = [json.loads(line) for line in (folder / "trained" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert all(row["train/optimizer_steps"] + row["train/skipped_steps"] == 2 for row in rows)
    assert AutoModelForCausalLM.from_pretrained(folder / "trained").dtype.itemsize == 2


@pytest.mark.faults
@pytest.mark.slow
def test_fewer_gpus_than_the_roles_need_are_refused_with_status_2(folder: Path) -> None:
    done = run_script(folder, 4)
    output = done.stdout + done.stderr
    assert done.returncode == 2, output[-4000:]
    assert "5 GPUs are needed (actor 4, engine0 1), Ray has 4" in output
