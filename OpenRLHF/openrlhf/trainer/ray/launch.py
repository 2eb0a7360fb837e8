"""Puts an RL run together: data and plan first, then the roles on Ray, then the loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openrlhf.config.errors import UserError
from openrlhf.config.memory import GIB, shape_of
from openrlhf.config.plan import Plan, describe, make_plan
from openrlhf.config.rules import actor_world_size
from openrlhf.datasets.blending import load_blend
from openrlhf.datasets.files import Record
from openrlhf.datasets.prompts import Prompt, build_prompts
from openrlhf.models.loader import load_config, load_tokenizer
from openrlhf.rewards.functions import open_rewards
from openrlhf.rollout.pool import EnginePool, choose_engine
from openrlhf.trainer.checkpoint import latest_state
from openrlhf.trainer.intro_batches import hint_ids
from openrlhf.trainer.ray.cluster import WORKER_ENVIRONMENT, Layout, Placement, connect, place, strategy
from openrlhf.trainer.ray.policy_group import PolicyGroup
from openrlhf.trainer.rl_evaluation import Evaluator
from openrlhf.trainer.rl_trainer import RLTrainer, TrainerState
from openrlhf.trainer.rollouts import RolloutMaker
from openrlhf.trainer.run_log import RunLog


@dataclass(frozen=True)
class Prepared:
    """What is known before any model is loaded. longest_hint: tokens."""

    tokenizer: Any
    prompts: list[Prompt]
    held_out: list[Prompt]
    longest_hint: int
    plan: Plan
    notes: list[str]
    description: str


def prepare(args: Any) -> Prepared:
    """Reads data, tokenizer and configuration, and works out the plan.

    args: after the rules between flags.

    Raises:
        UserError: data, model folder or flags that cannot work.
    """
    config = load_config(args.pretrain)
    tokenizer = load_tokenizer(args.pretrain, use_fast=not args.disable_fast_tokenizer)
    prompts, notes = load_prompts(args, tokenizer)
    held_out: list[Prompt] = []
    if args.eval_dataset:
        held_out, eval_notes = _prompts_of(args, tokenizer, args.eval_dataset, "1.0", "test")
        held_out = held_out[: int(args.eval_max_samples)] if args.eval_max_samples else held_out
        notes += [f"--eval_dataset: {note}" for note in eval_notes]
    hints = [len(hint_ids(tokenizer, args.intro_answer_template, prompt.label)) for prompt in prompts]
    plan = make_plan(args, len(prompts))
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    description = describe(plan, shape_of(config), context, gpu_memory_gib(args))
    return Prepared(tokenizer, prompts, held_out, max(hints), plan, notes, description)


def load_prompts(args: Any, tokenizer: Any) -> tuple[list[Prompt], list[str]]:
    """Training prompts, and what was left out: too long, empty, no answer, or an answer too long for a hint."""
    prompts, notes = _prompts_of(args, tokenizer, args.prompt_data, args.prompt_data_probs, args.prompt_split)
    usable = [prompt for prompt in prompts if prompt.label.strip()]
    if len(usable) < len(prompts):
        notes.append(f"{len(prompts) - len(usable)} of {len(prompts)} prompts have an empty answer: left out.")
    fitting = [
        p for p in usable if len(hint_ids(tokenizer, args.intro_answer_template, p.label)) <= args.prompt_max_len
    ]
    if len(fitting) < len(usable):
        notes.append(f"{len(usable) - len(fitting)} answers are longer than --prompt_max_len as a hint: left out.")
    if not fitting:
        raise UserError(f"no prompt of {args.prompt_data} has a usable answer in --label_key {args.label_key}")
    return fitting, notes


def _prompts_of(
    args: Any, tokenizer: Any, source: str, probabilities: str, split: str
) -> tuple[list[Prompt], list[str]]:
    def records_of(split: str, required: bool) -> list[Record]:
        return load_blend(
            source, probabilities, split=split, seed=args.seed, max_samples=args.max_samples, required=required
        )

    # A single file has one split, called train, whatever it holds.
    records = records_of(split, required=split == "train") or records_of("train", required=True)
    made = build_prompts(
        records,
        tokenizer,
        max_tokens=args.prompt_max_len,
        input_key=args.input_key,
        label_key=args.label_key,
        input_template=args.input_template,
        apply_chat_template=args.apply_chat_template,
    )
    return list(made.prompts), made.notes(args.prompt_max_len)


def gpu_memory_gib(args: Any) -> float | None:
    """What the user says, else what this machine's first GPU has, else None."""
    if args.gpu_memory_gib:
        return args.gpu_memory_gib
    import torch

    return torch.cuda.get_device_properties(0).total_memory / GIB if torch.cuda.is_available() else None


def run(args: Any, prepared: Prepared) -> None:
    """Starts the roles, trains, and takes them down again."""
    checkpoints = Path(args.ckpt_path) / "_actor"
    saved = latest_state(checkpoints) if args.load_checkpoint else None
    if args.load_checkpoint:
        print(
            f"Continuing from {checkpoints / saved[0]}." if saved else f"No checkpoint in {checkpoints}: starting anew."
        )
    state = TrainerState(**saved[1]) if saved else TrainerState()
    log = RunLog(args, args.save_path)
    log.truncate_to(state.step if saved else -1)
    connect()
    size = args.vllm_tensor_parallel_size
    world = actor_world_size(args)
    placement = place(Layout(world, prepared.plan.engines, size, args.colocate_all_models))
    rewards = open_rewards(args.remote_rm_url, workers=args.reward_workers, timeout=args.reward_timeout)
    policy = PolicyGroup(args, placement, world, step_timeout=args.generate_timeout)
    engines = EnginePool(
        start_engines(args, prepared, placement, policy.sync_backend), stall_limit_s=args.generate_timeout
    )
    try:
        policy.wait_until_ready()
        engines.wait_until_ready()
        if saved:
            policy.call("load_checkpoint", str(checkpoints), saved[0])
        policy.call("connect_engines", engines.engines, policy.sync_backend, args.sync_timeout)
        rollouts = RolloutMaker(engines, rewards, prepared.tokenizer, args.seed)
        hinted = (prepared.held_out or prepared.prompts)[: args.hinted_eval_prompts]
        evaluator = Evaluator(args, rollouts, prepared.tokenizer, prepared.held_out, hinted)
        RLTrainer(
            args,
            prepared.plan,
            prompts=prepared.prompts,
            tokenizer=prepared.tokenizer,
            policy=policy,
            engines=engines,
            rollouts=rollouts,
            evaluator=evaluator,
            log=log,
            state=state,
        ).train()
    finally:
        rewards.close()
        engines.shutdown()
        policy.shutdown()


def start_engines(args: Any, prepared: Prepared, placement: Placement, sync_backend: str) -> Sequence[Any]:
    """Engine actors, each in its own bundles, or on the actor's when colocated."""
    import ray

    from openrlhf.rollout.actor import EngineActor, actor_options

    size = args.vllm_tensor_parallel_size
    options = {
        "tensor_parallel_size": size,
        "dtype": "bfloat16" if args.bf16 else "float32",
        "max_model_len": args.prompt_max_len + prepared.longest_hint + args.generate_max_len,
        "seed": args.seed,
        "gpu_memory_utilization": args.vllm_gpu_memory_utilization,
        "enable_prefix_caching": args.enable_prefix_caching,
        "enforce_eager": args.enforce_eager,
        "enable_sleep": args.vllm_enable_sleep,
        "sync_backend": sync_backend,
        "kv_cache_bytes": args.vllm_kv_cache_mb * 2**20 if args.vllm_kv_cache_mb else None,
    }
    actors = []
    for engine in range(prepared.plan.engines):
        bundles = [engine * size + i for i in range(size)] if placement.colocated else list(range(size))
        settings = actor_options(
            tensor_parallel_size=size, gpus_per_worker=placement.actor_gpus, bundle_indices=bundles
        )
        settings["num_cpus"] = placement.cpus
        settings["runtime_env"]["env_vars"].update(WORKER_ENVIRONMENT)
        group = placement.actor_group if placement.colocated else placement.engine_groups[engine]
        actors.append(
            ray.remote(EngineActor)
            .options(scheduling_strategy=strategy(group, bundles[0]), **settings)
            .remote(args.pretrain, choose_engine(args.rollout_engine), **options)
        )
    return actors
