"""Starts an RL run's roles on Ray, gives them to the loop, and takes them down again."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from openrlhf.config.rules import actor_world_size, reward_models
from openrlhf.rewards.functions import open_rewards
from openrlhf.rollout.opening import choose_engine
from openrlhf.rollout.pool import EnginePool
from openrlhf.trainer.algorithms import algorithm_of
from openrlhf.trainer.checkpoint import latest_state
from openrlhf.trainer.critic_worker import CriticWorker
from openrlhf.trainer.frozen_workers import ReferenceWorker, RewardModelWorker
from openrlhf.trainer.graders import ModelGrader, TextGrader
from openrlhf.trainer.policy_worker import PolicyWorker
from openrlhf.trainer.preparation import Prepared
from openrlhf.trainer.ray.cluster import WORKER_ENVIRONMENT, Share, layout, place, strategy
from openrlhf.trainer.ray.role_group import RayRoleGroup
from openrlhf.trainer.rl_evaluation import Evaluator
from openrlhf.trainer.rl_trainer import RLTrainer, Roles, TrainerState
from openrlhf.trainer.role_group import RoleGroup
from openrlhf.trainer.rollouts import Grader, RolloutMaker
from openrlhf.trainer.run_log import RunLog
from openrlhf.trainer.worker import Worker
from openrlhf.utils.ray_connection import connect


def run(args: Any, prepared: Prepared) -> None:
    """Starts the roles, trains, and takes them down again."""
    checkpoints = Path(args.ckpt_path) / "_actor"
    saved = latest_state(checkpoints) if args.load_checkpoint else None
    if args.load_checkpoint:
        print(
            f"Continuing from {checkpoints / saved[0]}." if saved else f"No checkpoint in {checkpoints}: starting anew."
        )
    state = TrainerState(**saved[1]) if saved else TrainerState(kl_coef=args.init_kl_coef)
    log = RunLog(args, args.save_path)
    log.truncate_to(state.step if saved else -1)
    connect()
    shares = place(layout(args, prepared.plan.engines, len(reward_models(args))))
    with ExitStack() as cleanup:
        groups = start_roles(args, shares, cleanup)
        policy, critic = groups["actor"], groups.get("critic")
        backend = sync_backend(args, policy.has_cuda)
        engines = EnginePool(start_engines(args, prepared, shares, backend), stall_limit_s=args.generate_timeout)
        cleanup.callback(engines.shutdown)
        grader = open_grader(args, prepared, [group for name, group in groups.items() if name.startswith("reward")])
        cleanup.callback(grader.close)
        for group in groups.values():
            group.wait_until_ready()
        engines.wait_until_ready()
        if saved:
            policy.call("load_checkpoint", str(checkpoints), saved[0])
            if critic is not None:
                critic.call("load_checkpoint", str(checkpoints.with_name("_critic")), saved[0])
        policy.call("connect_engines", engines.engines, backend, args.sync_timeout)
        rollouts = RolloutMaker(engines, grader, args.seed)
        hinted = (
            (prepared.held_out or prepared.prompts)[: args.hinted_eval_prompts] if args.hinted_eval_steps > 0 else []
        )
        roles = Roles(
            policy=policy,
            critic=critic,
            engines=engines,
            rollouts=rollouts,
            algorithm=algorithm_of(args, prepared.tokenizer, policy, groups.get("reference"), critic),
            evaluator=Evaluator(args, rollouts, prepared.tokenizer, prepared.held_out, hinted),
            pretraining=prepared.pretraining,
        )
        RLTrainer(args, prepared.plan, prompts=prepared.prompts, roles=roles, log=log, state=state).train()


def start_roles(args: Any, shares: dict[str, Share], cleanup: ExitStack) -> dict[str, RayRoleGroup]:
    """All roles but the engines, by name; their models load in the background."""
    workers: dict[str, tuple[type[Worker], int, tuple[Any, ...]]] = {
        "actor": (PolicyWorker, actor_world_size(args), ()),
        "reference": (ReferenceWorker, args.ref_num_nodes * args.ref_num_gpus_per_node, ()),
        "critic": (CriticWorker, args.critic_num_nodes * args.critic_num_gpus_per_node, ()),
    }
    for number, path in enumerate(reward_models(args)):
        ranks = args.reward_num_nodes * args.reward_num_gpus_per_node
        workers[f"reward{number}"] = (RewardModelWorker, ranks, (path,))
    groups = {}
    for role, (worker, ranks, extra) in workers.items():
        if role in shares:
            groups[role] = RayRoleGroup(role, worker, args, shares[role], ranks, args.generate_timeout, extra)
            cleanup.callback(groups[role].shutdown)
    return groups


def open_grader(args: Any, prepared: Prepared, models: Sequence[RoleGroup]) -> Grader:
    if models:
        return ModelGrader(models, prepared.tokenizer.eos_token_id)
    rewards = open_rewards(args.remote_rm_url, workers=args.reward_workers, timeout=args.reward_timeout)
    return TextGrader(rewards, prepared.tokenizer)


def sync_backend(args: Any, has_cuda: bool) -> str:
    """How weights travel: IPC between processes that share a GPU, what the flag says between GPUs, Gloo on CPUs."""
    if not has_cuda:
        return "gloo"
    return "ipc" if args.colocate_all_models else args.vllm_sync_backend


def start_engines(args: Any, prepared: Prepared, shares: dict[str, Share], sync_backend: str) -> Sequence[Any]:
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
        share = shares[f"engine{engine}"]
        # Colocated engines use the actor's bundles, one after the other; otherwise each has a group of its own.
        first = engine * size if args.colocate_all_models else 0
        bundles = list(range(first, first + size))
        settings = actor_options(tensor_parallel_size=size, gpus_per_worker=share.gpus, bundle_indices=bundles)
        settings["num_cpus"] = share.cpus
        settings["runtime_env"]["env_vars"].update(WORKER_ENVIRONMENT)
        actors.append(
            ray.remote(EngineActor)
            .options(scheduling_strategy=strategy(share.group, bundles[0]), **settings)
            .remote(args.pretrain, choose_engine(args.rollout_engine), **options)
        )
    return actors
