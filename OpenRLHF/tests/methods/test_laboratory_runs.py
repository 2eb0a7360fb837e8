"""Methods that learn from hints, and other policy gradients, from the command line to metrics: Ray and vLLM."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from openrlhf.methods.registry import methods_of
from toy_models import save_toy

ROOT = Path(__file__).resolve().parents[3]
# Rewards that a random model can get: about half of its responses, and not all of a prompt alike.
REWARD = """
def reward_func(queries, prompts, labels):
    return [float(sum(query.encode()) % 2) for query in queries]
"""
# (method, flags, figures that it must log)
RUNS = {
    "rlcsd": (("--rlcsd_wrong", "2", "--rlcsd_posterior", "ema"), ("moved_share", "contrasted_share", "hint_gap_task")),
    "opsd": (("--hint_contrast", "2", "--opsd_solution_key", "solution"), ("distil_loss", "contrasted_share")),
    "sdpo": ((), ("distil_loss", "hinted_share", "kl_posterior")),
    "srpo": ((), ("distil_loss", "hinted_share", "clipped_share")),
    "rlsd": (("--hint_contrast", "1", "--rlsd_solution_key", "solution"), ("hint_gap", "contrasted_share")),
    "intro": (("--hint_contrast", "1"), ("contrasted_share", "w_mean", "hint_gap_other")),
    "hdpo": (("--hdpo_samples", "4"), ("guided_prompts", "hinted_share")),
    "dapo": (("--refill_budget", "0.5"), ("filtered_groups", "clipped_share", "refill_groups")),
    "gspo": ((), ("ratio_max",)),
    "cispo": ((), ("clipped_share",)),
}
IN_THE_DEFAULT_SUITE = "rlcsd"  # several hints, siblings, columns of the posterior, a moving average


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("laboratory")
    save_toy(path / "model")
    (path / "reward.py").write_text(REWARD)
    rows = [
        {"problem": f"{a} + {b} =", "answer": str(a + b), "solution": f"{a} + {b} = {a + b}"}
        for a in range(4)
        for b in range(3)
    ]
    (path / "prompts.json").write_text(json.dumps(rows))
    return path


def declared(name: str) -> set[str]:
    """What docs/metrics.md says that every method logs, and what this one adds."""
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").split("\n## Training on fixed data")[0]
    own = methods_of("train_ppo_ray_intro")[name].metrics
    return set(re.findall(r"train/\w+", text)) | {f"train/{metric}" for metric in own}


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.parametrize(
    "name", [n if n == IN_THE_DEFAULT_SUITE else pytest.param(n, marks=pytest.mark.faults) for n in RUNS]
)
def test_a_method_trains_three_steps_on_ray_and_vllm(name: str, folder: Path) -> None:
    if os.environ.get("INTRO_REQUIRE_VLLM") is None:
        pytest.importorskip("vllm")
    own, wanted = RUNS[name]
    argv = [
        *("--pretrain", str(folder / "model"), "--prompt_data", str(folder / "prompts.json")),
        *("--input_key", "problem", "--label_key", "answer", "--remote_rm_url", str(folder / "reward.py")),
        *("--save_path", str(folder / name), "--actor_num_gpus_per_node", "1", "--init_kl_coef", "0"),
        *("--rollout_batch_size", "4", "--n_samples_per_prompt", "4", "--train_batch_size", "8"),
        *("--micro_train_batch_size", "4", "--prompt_max_len", "64", "--generate_max_len", "12"),
        *("--actor_learning_rate", "1e-3", "--vllm_kv_cache_mb", "64", "--hinted_eval_steps", "-1"),
        *("--rollout_engine", "vllm", "--advantage_estimator", name, *own),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "openrlhf.cli.train_ppo_ray_intro", *argv],
        env={**os.environ, "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": ""},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    steps = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
    assert len(steps) == 3
    for step in steps:
        assert step["train/kept"] > 0
        assert step["train/grad_norm"] > 0
        assert step["train/hedging_share"] >= 0
        assert all(f"train/{figure}" in step for figure in wanted)
    assert {n for step in steps for n in step if n.startswith("train/")} <= declared(name)
