"""What the plan refuses because it would not fit into a GPU; sizes worked out by hand."""

import pytest

from configuring import parsed
from openrlhf.config.memory import GIB, ModelShape
from openrlhf.config.plan import describe, make_plan
from openrlhf.config.rules import rl_rules
from openrlhf.errors import UserError

# 8 × 2^30 parameters, each of 8 ranks with an eighth: 2 GiB of bf16 weights, 12 GiB of master weights and moments.
SHAPE = ModelShape(parameters=8 * GIB, layer=2**20, embedding=2**20, layers=2, width=64, vocabulary=2**14)
REQUIRED = "--pretrain m --prompt_data d.json --label_key answer --n_samples_per_prompt 4"
COLOCATED = "--colocate_all_models --vllm_enable_sleep --vllm_num_engines 8"
TRAINING = "--bf16 --zero_stage 3 --gradient_checkpointing"


def plan(*flags: str, gpu_gib: float | None = 24.0) -> str:
    argv = [*f"{REQUIRED} {COLOCATED} {TRAINING}".split(), *flags]
    config, _notes = rl_rules(parsed("train_ppo_ray_intro", *argv).config)
    return describe(make_plan(config, 1024), SHAPE, None, gpu_gib)


def test_the_parts_of_an_actor_rank():
    assert "weights 2.0, gradients 4.0, optimiser 12.0" in plan("--vllm_gpu_memory_utilization", "0.1", gpu_gib=None)


def test_what_stays_while_engines_generate_must_fit_beside_them():
    """14 GiB stay, or 2 with the optimiser asleep; engines that may take 70% of 24 GiB leave 7.2."""
    share = ("--vllm_gpu_memory_utilization", "0.7", "--vllm_tensor_parallel_size", "1")
    with pytest.raises(UserError, match="an engine needs 16 GiB for weights, it may take 7"):
        plan("--vllm_gpu_memory_utilization", "0.3", "--adam_offload")
    with pytest.raises(UserError, match=r"keeps about 14 GiB, and they leave 7: add --deepspeed_enable_sleep"):
        plan(*share)
    assert "optimiser 12.0" in plan(*share, "--deepspeed_enable_sleep")


def test_an_update_must_fit_alone():
    with pytest.raises(UserError, match=r"an actor rank needs about 18 GiB, a GPU has 16 for it"):
        plan("--deepspeed_enable_sleep", gpu_gib=16.0)
