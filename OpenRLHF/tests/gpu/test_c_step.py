"""Whole steps: an optimiser that sleeps, engine and trainer on one GPU, and a real model's shape against the plan."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch

from openrlhf.config.plan import make_plan
from openrlhf.demo.comparison import LocalPolicy
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.rollout.engine import Sampling
from openrlhf.rollout.hf_engine import HfEngine
from openrlhf.trainer.assembly import Assembler
from openrlhf.trainer.gpu_memory import GpuMemory
from openrlhf.trainer.rl_evaluation import Evaluator
from openrlhf.trainer.rl_trainer import RLTrainer, Roles, TrainerState
from openrlhf.trainer.role_group import LocalGroup
from openrlhf.trainer.rollout_maker import RolloutMaker
from openrlhf.trainer.run_log import RunLog
from openrlhf.utils.network import free_port
from toy_models import save_toy


def allocated() -> int:
    return torch.cuda.memory_allocated() if torch.cuda.is_available() else 0


class Halves:
    """Finds every second response right, whatever it says."""

    def grade(self, batch: Sequence[Rollout]) -> Future:
        done: Future = Future()
        done.set_result([float(rollout.sample % 2) for rollout in batch])
        return done

    def close(self) -> None: ...


class WatchedMemory(GpuMemory):
    """Writes down what is allocated when a phase begins."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: list[tuple[str, int]] = []

    def enter(self, phase: str) -> None:
        super().enter(phase)
        self.seen.append((phase, allocated()))


@pytest.mark.parametrize("attention", ["sdpa"])
def test_a_colocated_step_with_engine_and_optimiser_asleep_in_turns(
    device: torch.device, tmp_path: Path, attention: str, record: Callable
) -> None:
    """Everything in one process: the Hugging Face engine, the policy under ZeRO-3, and the real loop."""
    from learner_program import FLAGS

    from configuring import rl_config
    from openrlhf.models.loader import load_tokenizer

    sizes = {} if device.type == "cpu" else {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 8}
    if sizes:
        sizes |= {"num_attention_heads": 16, "num_key_value_heads": 4}
    path = save_toy(tmp_path / "model", **sizes)
    flags: dict[str, Any] = {
        **FLAGS,
        **{"pretrain": path, "bf16": True, "zero_stage": 3, "save_path": str(tmp_path / "out"), "save_steps": -1},
        **{"ckpt_path": str(tmp_path / "ckpt"), "attn_implementation": attention, "score_chunk_size": 512},
        **{"colocate_all_models": True, "vllm_enable_sleep": True, "deepspeed_enable_sleep": True},
        **{"rollout_batch_size": 4, "n_samples_per_prompt": 4, "train_batch_size": 8, "micro_train_batch_size": 4},
        **{"micro_rollout_batch_size": 4, "actor_num_gpus_per_node": 1, "generate_max_len": 24, "prompt_max_len": 16},
        **{"init_kl_coef": 0.0, "actor_learning_rate": 1e-3, "rollout_engine": "hf", "eval_steps": -1},
        **{"intro_hinted_eval_steps": -1, "logging_steps": 1, "num_episodes": 2},
    }
    config = rl_config("intro", **flags)
    tokenizer = load_tokenizer(path)
    prompts = [Prompt(i, f"{i} + 1 =", tuple(f"{i} + 1 =".encode()), str(i + 1)) for i in range(4)]
    engine = HfEngine(path, dtype="bfloat16", enable_sleep=True)
    weights = allocated()
    groups: dict[str, Any] = {}
    memory = WatchedMemory(config, engine, groups, frozenset())
    memory.enter("load")
    assert allocated() < 0.1 * weights + 1  # the engine sleeps before anything else loads
    groups["actor"] = policy = LocalGroup(LocalPolicy(config, engine), "127.0.0.1", free_port())
    memory = WatchedMemory(config, engine, groups, frozenset(groups))
    memory.phase = "load"
    memory.enter("sync")
    rollouts = RolloutMaker(engine, Halves(), 1)
    roles = Roles(
        policy=policy,
        critic=None,
        memory=memory,
        rollouts=rollouts,
        assembler=Assembler(config, tokenizer, policy),
        evaluator=Evaluator(config, rollouts, tokenizer, [], []),
    )
    state = TrainerState()
    RLTrainer(make_plan(config, len(prompts)), prompts=prompts, roles=roles, log=RunLog(config), state=state).train()
    rows = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [row["train/optimizer_steps"] for row in rows] == [2, 2]
    # After a sync the engine says of its samples what the trainer says, within bf16's rounding.
    assert rows[1]["train/engine_gap_mean"] < 0.05
    assert [phase for phase, _ in memory.seen] == [
        *("sync", "generate"),
        *["score", "update", "sync", "generate"] * 2,
    ]
    held = dict(memory.seen[2:6])
    record(allocated=held, engine=weights, gaps=[row["train/engine_gap_mean"] for row in rows])
    if device.type == "cuda":
        master = 12 * sum(p.ds_numel for p in policy.worker.learner.network.parameters())  # type: ignore[attr-defined]
        assert held["update"] - held["score"] > 0.9 * master
        assert held["sync"] - held["score"] > 0.9 * weights
    made = rollouts.make(prompts, 1, Sampling(temperature=0.0, max_new_tokens=4), purpose="test", step=0)
    assert len(made) == len(prompts)


def test_a_step_at_the_shape_of_qwen_1_5b_takes_what_the_plan_says(device: torch.device, record: Callable) -> None:
    """ZeRO-3 on one GPU, bf16, gradient checkpointing, 16 packed rows of 1,024 tokens, InTRO."""
    from gpu_rows import ROWS

    row = ROWS["step-1.5B"]()
    record(**row)
    assert 0 < row["loss"] < 1000
    if device.type == "cuda":
        assert row["peak GiB"] == pytest.approx(row["plan GiB"], rel=0.3)


def test_a_colocated_step_with_vllm(device: torch.device, tmp_path: Path) -> None:
    """The command itself, with Ray, CUDA IPC and vLLM's sleep mode."""
    for library in ("vllm", "ray", "datasets"):
        pytest.importorskip(library)
    if device.type == "cpu":
        pytest.skip("the suite runs the commands on the CPU")
    import os
    import subprocess
    import sys

    save_toy(tmp_path / "model", hidden_size=256, num_attention_heads=4, num_key_value_heads=2)
    (tmp_path / "prompts.json").write_text(
        json.dumps([{"problem": f"{i} + 1 =", "answer": str(i + 1)} for i in range(8)])
    )
    (tmp_path / "reward.py").write_text(
        "def reward_func(queries, prompts, labels):\n    return [float(sum(q.encode()) % 2) for q in queries]\n"
    )
    command = [
        *(sys.executable, "-m", "openrlhf.cli.train_ppo_ray_intro", "--bf16", "--zero_stage", "3"),
        *("--pretrain", str(tmp_path / "model"), "--prompt_data", str(tmp_path / "prompts.json")),
        *("--input_key", "problem", "--label_key", "answer", "--remote_rm_url", str(tmp_path / "reward.py")),
        *("--save_path", str(tmp_path / "out"), "--ckpt_path", str(tmp_path / "ckpt"), "--save_steps", "-1"),
        *("--colocate_all_models", "--vllm_enable_sleep", "--deepspeed_enable_sleep", "--enforce_eager"),
        *("--vllm_gpu_memory_utilization", "0.4", "--actor_num_gpus_per_node", "1", "--rollout_batch_size", "4"),
        *("--n_samples_per_prompt", "4", "--train_batch_size", "8", "--micro_train_batch_size", "4"),
        *("--prompt_max_len", "32", "--generate_max_len", "16", "--actor_learning_rate", "1e-3"),
    ]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    rows = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert all(row["train/engine_gap_mean"] < 0.05 for row in rows)
    assert all(row["sync/compared"] > 0 for row in rows)
