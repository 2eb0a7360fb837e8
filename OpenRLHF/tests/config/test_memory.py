"""What the plan says of memory, and what it refuses because it would not fit into a GPU; sizes worked out by hand."""

from dataclasses import replace

import pytest

from configuring import parsed
from openrlhf.config.memory import GIB, ModelShape, held, ledger
from openrlhf.config.plan import describe, make_plan
from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.rules import rl_rules
from openrlhf.errors import UserError

# 8 × 2^30 parameters, each of 8 ranks with an eighth: 2 GiB of bf16 weights and as much of gradients, 12 GiB of master
# weights and moments; DeepSpeed's bucket of 5e8 bf16 gradients takes 0.93 GiB, a process 0.6.
SHAPE = ModelShape(parameters=8 * GIB, layer=2**20, embedding=2**20, layers=2, width=64, vocabulary=2**14)
REQUIRED = "--pretrain m --prompt_data d.json --label_key answer --n_samples_per_prompt 4"
COLOCATED = "--colocate_all_models --vllm_enable_sleep --vllm_num_engines 8"
TRAINING = "--bf16 --zero_stage 3 --gradient_checkpointing"


def settings(*flags: str, command: str = "train_ppo_ray_intro") -> RLConfig:
    return rl_rules(parsed(command, *f"{REQUIRED} {COLOCATED} {TRAINING}".split(), *flags).config)[0]


def plan(*flags: str, gpu_gib: float | None = 24.0) -> str:
    return describe(make_plan(settings(*flags), 1024), {"actor": SHAPE}, None, gpu_gib)


def test_the_parts_of_an_actor_rank():
    text = plan("--vllm_gpu_memory_utilization", "0.1", gpu_gib=None)
    assert "context 0.6, weights 2.0, gradients 2.0, optimiser 12.0, gradient buckets 0.9" in text
    assert "gradients 4.0" in plan("--grad_accum_dtype", "fp32", gpu_gib=None)


def test_what_stays_while_engines_generate_must_fit_beside_them():
    """17.5 GiB stay, or 2.6 with the optimiser and its gradients asleep; engines may take 70% of 24 GiB."""
    share = ("--vllm_gpu_memory_utilization", "0.7", "--vllm_tensor_parallel_size", "1")
    with pytest.raises(UserError, match="an engine needs 16 GiB for weights, it may take 7"):
        plan("--vllm_gpu_memory_utilization", "0.3", "--adam_offload")
    with pytest.raises(
        UserError, match=r"while engines generate, .* needs about 34 GiB and has 24 \(actor 17.5, engin"
    ):
        plan(*share)
    assert "generate 19.4" in plan(*share, "--deepspeed_enable_sleep")


def test_an_update_must_fit_alone():
    """The 17.5 GiB, 0.6 of the sleeping engine, and the step's float32 gradients: 4e9 bytes."""
    with pytest.raises(UserError, match=r"in an optimiser step, .* needs about 22 GiB and has 20"):
        plan("--deepspeed_enable_sleep", "--vllm_gpu_memory_utilization", "0.85", gpu_gib=20.0)


def test_a_colocated_critic_counts_beside_the_policy():
    config = settings("--remote_rm_url", "http://host/score", command="train_ppo_ray")
    alone, both = (ledger(config, shapes, 80.0) for shapes in ({"actor": SHAPE}, {"actor": SHAPE, "critic": SHAPE}))
    for phase in ("load", "generate", "update", "step"):
        assert held(both, phase)["critic"] == pytest.approx(held(alone, phase)["actor"], rel=0.01), phase
    apart = replace(config, placement=replace(config.placement, colocate_all_models=False))
    assert ledger(apart, {"actor": SHAPE, "critic": SHAPE}, 80.0) == ledger(apart, {"actor": SHAPE}, 80.0)


def test_reward_models_score_while_engines_generate_and_the_reference_after_that():
    config = settings("--reward_pretrain", "r", command="train_ppo_ray")
    holdings = ledger(config, {"actor": SHAPE, "reference": SHAPE, "reward0": SHAPE})
    scoring = {holding.role: holding.phases for holding in holdings if holding.name == "scoring"}
    assert scoring == {"reference": {"score"}, "reward0": {"generate"}}


def test_a_reference_counts_where_it_shares_the_gpus_unless_it_is_offloaded():
    config = settings("--remote_rm_url", "http://host/score", command="train_ppo_ray")
    shapes = {"actor": SHAPE, "reference": SHAPE}
    assert held(ledger(config, shapes), "generate")["reference"] == pytest.approx(2.6)
    offloaded = replace(config, placement=replace(config.placement, ref_reward_offload=True))
    assert held(ledger(offloaded, shapes), "generate")["reference"] == pytest.approx(0.6)
