"""Starts an RL run's roles on Ray, gives them to the loop, and takes them down again."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.rules import hinted_evaluation
from openrlhf.models.loader import load_config
from openrlhf.rewards.functions import open_rewards
from openrlhf.rewards.key import read_key
from openrlhf.rollout.opening import choose_engine
from openrlhf.rollout.pool import EnginePool
from openrlhf.rollout.replacing import ReplacingPool
from openrlhf.trainer.assembly import Assembler
from openrlhf.trainer.checkpoint import checkpoint_folders
from openrlhf.trainer.gpu_memory import GpuMemory
from openrlhf.trainer.graders import ModelGrader, TextGrader
from openrlhf.trainer.preparation import Prepared
from openrlhf.trainer.ray.cluster import (
    WORKER_ENVIRONMENT,
    Share,
    engine_bundles,
    layout,
    place,
    sharing_roles,
    strategy,
)
from openrlhf.trainer.ray.role_group import RayRoleGroup
from openrlhf.trainer.replay import Replay
from openrlhf.trainer.resuming import Start
from openrlhf.trainer.rl_evaluation import Evaluator
from openrlhf.trainer.rl_trainer import RLTrainer, Roles
from openrlhf.trainer.rollout_maker import Grader, RolloutMaker
from openrlhf.trainer.rollout_queue import read
from openrlhf.trainer.run_log import rl_log
from openrlhf.trainer.second_round import with_second_round
from openrlhf.trainer.state import TrainerState
from openrlhf.utils.console import waiting
from openrlhf.utils.ray_connection import connect, disconnect
from openrlhf.utils.threads import thread_count


def run(prepared: Prepared, start: Start[TrainerState], on_start: Callable[[], None] = lambda: None) -> None:
    """Starts the roles, trains from `start` on, and takes the roles down again. on_start: called once the rewards have
    been tried, before anything is started or written."""
    config = prepared.plan.config
    with ExitStack() as cleanup:
        replay = open_replay(config, prepared)
        texts = None if replay else open_text_grader(config, prepared)
        if texts is not None:
            cleanup.callback(texts.close)
            texts.check(prepared.prompts)
        on_start()
        log = rl_log(config, prepared.tokenizer, start.state.run)
        log.truncate_to(start.state.step if start.tag else -1)
        cleanup.callback(disconnect)
        with waiting("starting Ray"):
            connect()
        _send_by_value(config)
        shares = place(layout(config))
        groups = start_roles(config, shares, cleanup)
        policy, critic = groups["actor"], groups.get("critic")
        backend = sync_backend(config, policy.has_cuda)
        start_engine = engine_starter(config, prepared.longest_hint, shares, backend)
        actors = [start_engine(number) for number in range(config.engines)]

        def deliver(handles: Sequence[Any]) -> None:
            policy.call("connect_engines", handles, backend, config.engine.sync_timeout)
            policy.call("sync_weights")

        pool = EnginePool(actors, stall_limit_s=config.engine.generate_timeout)
        engines = ReplacingPool(pool, start_engine, deliver)
        cleanup.callback(engines.shutdown)
        memory = GpuMemory(config, engines, groups, sharing_roles(config))
        grader: Grader = texts or ModelGrader(
            [group for name, group in groups.items() if name.startswith("reward")], prepared.tokenizer.eos_token_id
        )
        cleanup.callback(grader.close)
        names = ", ".join(f"{group.world_size} × {name}" for name, group in groups.items())
        with waiting(f"loading {names}" + (f", {len(actors)} engine(s)" if actors else "")):
            load_models(config, pool, groups, memory)
        if start.tag:
            for group, folder in zip(filter(None, (policy, critic)), checkpoint_folders(config), strict=True):
                group.call("load_checkpoint", str(folder), start.tag)
        memory.enter("sync")  # checksums are read from the engines' weights
        if actors:
            policy.call("connect_engines", engines.engines, backend, config.engine.sync_timeout)
        made = RolloutMaker(engines, grader, config.optimizer.seed, config.reward.max_reward_failures)
        rollouts = replay or made
        every, count = hinted_evaluation(config)
        hinted = (prepared.held_out or prepared.prompts)[:count] if every > 0 else []
        roles = Roles(
            policy=policy,
            critic=critic,
            memory=memory,
            rollouts=with_second_round(rollouts, config, prepared.prompts, prepared.tokenizer),
            assembler=Assembler(config, prepared.tokenizer, policy, groups.get("reference"), critic),
            evaluator=Evaluator(config, rollouts, prepared.tokenizer, prepared.held_out, hinted),
            pretraining=prepared.pretraining,
            heal=engines.heal,
        )
        ahead = read(checkpoint_folders(config)[0] / start.tag, prepared.prompts) if start.tag else []
        RLTrainer(
            prepared.plan, prompts=prepared.prompts, roles=roles, log=log, state=start.state, waiting=ahead
        ).train()


def open_replay(config: RLConfig, prepared: Prepared) -> Replay | None:
    """The files of --replay, checked."""
    if not config.rollout.replay:
        return None
    replay = Replay(Path(config.rollout.replay), prepared.tokenizer, prepared.plan.steps)
    replay.check(prepared.prompts)
    return replay


def _send_by_value(config: RLConfig) -> None:
    """A method of the user's own travels to the ranks as a class, not as a name: its file may not be there."""
    import ray

    module = sys.modules[type(config.method).__module__]
    if module.__name__.partition(".")[0] != __name__.partition(".")[0]:
        ray.cloudpickle.register_pickle_by_value(module)


def load_models(config: RLConfig, engines: EnginePool, groups: Mapping[str, RayRoleGroup], memory: GpuMemory) -> None:
    """Engines and roles load side by side; where they share GPUs, engines first.

    vLLM measures what is free on its GPU when it starts and when it falls asleep, so nobody else may move then.
    """
    pending: dict[str, Callable[[], Any]] = {"engines": engines.begin_ready()}
    if config.placement.colocate_all_models:
        pending.pop("engines")()
    memory.enter("load")
    pending |= {name: group.begin_setup() for name, group in groups.items()}
    for finish in pending.values():
        finish()


def start_roles(config: RLConfig, shares: dict[str, Share], cleanup: ExitStack) -> dict[str, RayRoleGroup]:
    """All roles but the engines, by name; nothing is loaded yet."""
    placement = config.placement
    workers: dict[str, tuple[str, int, tuple[Any, ...]]] = {
        "actor": ("policy_worker:PolicyWorker", placement.actor_ranks, ()),
        "reference": ("frozen_workers:ReferenceWorker", placement.reference_ranks, ()),
        "critic": ("critic_worker:CriticWorker", placement.critic_ranks, ()),
    }
    for number, path in enumerate(config.reward.models):
        workers[f"reward{number}"] = ("frozen_workers:RewardModelWorker", placement.reward_ranks, (path,))
    groups = {}
    for role, (worker, ranks, extra) in workers.items():
        if role in shares:
            timeout = config.engine.generate_timeout
            path = f"openrlhf.trainer.{worker}"
            groups[role] = RayRoleGroup(role, path, config, shares[role], ranks, timeout, extra)
            cleanup.callback(groups[role].shutdown)
    return groups


def open_text_grader(config: RLConfig, prepared: Prepared) -> TextGrader | None:
    """None where reward models grade."""
    reward = config.reward
    if reward.models:
        return None
    rewards = open_rewards(
        reward.sources,
        workers=reward.reward_workers,
        timeout=reward.reward_timeout,
        policy=reward.reward_policy,
        key=read_key(reward.api_key_file) if reward.api_key_file else None,
    )
    return TextGrader(rewards, prepared.tokenizer, config.rollout.stop)


def sync_backend(config: RLConfig, has_cuda: bool) -> str:
    """How weights travel: IPC between processes that share a GPU, what the flag says between GPUs, Gloo on CPUs.

    Gloo too into a Hugging Face engine, wherever it runs: the GPUs' transports are vLLM's.
    """
    if not has_cuda or choose_engine(config.engine.rollout_engine) == "hf":
        return "gloo"
    return "ipc" if config.placement.colocate_all_models else config.engine.vllm_sync_backend


def engine_starter(
    config: RLConfig, longest_hint: int, shares: dict[str, Share], sync_backend: str
) -> Callable[[int], Any]:
    """Starts the engine of a number as an actor, in its own bundles, or on the actor's when colocated."""
    import ray

    from openrlhf.rollout.actor import EngineActor, actor_options

    engine, rollout, model = config.engine, config.rollout, load_config(str(config.model.pretrain))
    size = engine.vllm_tensor_parallel_size
    options = {
        "tensor_parallel_size": size,
        "dtype": config.model.dtype,
        "max_model_len": rollout.prompt_max_len + longest_hint + rollout.generate_max_len,
        "seed": config.optimizer.seed,
        "gpu_memory_utilization": engine.vllm_gpu_memory_utilization,
        "enable_prefix_caching": engine.enable_prefix_caching,
        "enforce_eager": engine.enforce_eager,
        "enable_sleep": engine.vllm_enable_sleep,
        "sync_backend": sync_backend,
        "kv_cache_bytes": engine.vllm_kv_cache_mb * 2**20 if engine.vllm_kv_cache_mb else None,
        "sampled_logprobs": rollout.corrects,
        "in_flight": rollout.updates_in_flight,
    }

    def start(number: int) -> Any:
        share = shares[f"engine{number}"]
        bundles, _ = engine_bundles(share, number, size, config.placement.colocate_all_models)
        settings = actor_options(
            tensor_parallel_size=size,
            gpus_per_worker=share.gpus,
            bundle_indices=bundles,
            threads=1 if share.gpus else thread_count(model, (os.cpu_count() or 1) // engine.engines),
            in_flight=rollout.updates_in_flight,
        )
        settings["num_cpus"] = share.cpus
        settings["runtime_env"]["env_vars"].update(WORKER_ENVIRONMENT)
        return (
            ray.remote(EngineActor)
            .options(scheduling_strategy=strategy(share.group, bundles[0]), **settings)
            .remote(config.model.pretrain, choose_engine(engine.rollout_engine), **options)
        )

    return start
