"""Places the roles: actor ranks and engines, apart or on the same GPUs, with GPUs or without."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openrlhf.config.reinforcement import RLConfig
from openrlhf.errors import UserError

# Inside these processes nothing talks to a hub's progress bars, and CPU ranks share the cores.
WORKER_ENVIRONMENT = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "DS_ACCELERATOR_LOG_LEVEL": "ERROR",
}


@dataclass(frozen=True)
class Bundles:
    """Devices that some roles share: `ranks` bundles with one GPU each (where there are GPUs), each role on all."""

    roles: tuple[str, ...]
    ranks: int
    same_node: bool = False


@dataclass(frozen=True)
class Share:
    """What one rank of a role may take of its bundle."""

    group: Any
    cpus: float
    gpus: float


def layout(config: RLConfig) -> list[Bundles]:
    """Which roles share devices, by the --colocate_* flags. config: after the rules.

    Roles: actor, reference, critic, reward0, reward1, …, engine0, engine1, …
    """
    placement, size = config.placement, config.engine.vllm_tensor_parallel_size
    ranks = {"actor": placement.actor_ranks}
    if config.reference_is_a_role:
        ranks["reference"] = placement.reference_ranks
    if config.has_critic:
        ranks["critic"] = placement.critic_ranks
    rewards = {f"reward{i}": placement.reward_ranks for i in range(len(config.reward.models))}
    ranks.update(rewards)
    engine_names = tuple(f"engine{i}" for i in range(config.engine.engines))
    if placement.colocate_all_models:
        return [Bundles((*ranks, *engine_names), ranks["actor"])]
    together: list[tuple[str, ...]] = []
    if placement.colocate_actor_ref:
        together.append(("actor", "reference"))
    if placement.colocate_critic_reward:
        together.append(("critic", *rewards))
    shared = [tuple(role for role in roles if role in ranks) for roles in together]
    alone: list[tuple[str, ...]] = [(role,) for role in ranks if not any(role in roles for roles in shared)]
    groups = [Bundles(roles, ranks[roles[0]]) for roles in sorted([r for r in shared if r] + alone)]
    return groups + [Bundles((name,), size, same_node=True) for name in engine_names]


def place(bundles: Sequence[Bundles], timeout: float = 120.0) -> dict[str, Share]:
    """Reserves the bundles; the share of each role.

    On a cluster without any GPU, roles get a share of the CPUs.

    Raises:
        UserError: the cluster has GPUs, but too few, or the bundles cannot be had in time.
    """
    import ray
    from ray.util.placement_group import placement_group

    total = ray.cluster_resources()
    gpus = total.get("GPU", 0)
    wanted = sum(own.ranks for own in bundles)
    if gpus and gpus < wanted:
        described = ", ".join(f"{' + '.join(own.roles)} {own.ranks}" for own in bundles)
        raise UserError(
            f"{wanted} GPUs are needed ({described}), Ray has {gpus:g}: lower --actor_num_gpus_per_node (--critic_…, "
            "--ref_…, --reward_…) or --vllm_num_engines, put roles together with --colocate_all_models, "
            "--colocate_actor_ref or --colocate_critic_reward, or set CUDA_VISIBLE_DEVICES"
        )
    workers = sum(own.ranks * len(own.roles) for own in bundles) + 1  # and the driver
    cpus = min(1.0, math.floor(100 * total.get("CPU", 1) / workers) / 100)
    shares, waiting_for = {}, []
    for own in bundles:
        bundle = {"CPU": cpus * len(own.roles), **({"GPU": 1.0} if gpus else {})}
        group = placement_group([bundle] * own.ranks, strategy="STRICT_PACK" if own.same_node else "PACK")
        waiting_for.append(group.ready())
        share = Share(group, cpus, math.floor(100 / len(own.roles)) / 100 if gpus else 0.0)
        shares.update(dict.fromkeys(own.roles, share))
    _, waiting = ray.wait(waiting_for, num_returns=len(waiting_for), timeout=timeout)
    if waiting:
        raise UserError(
            f"Ray could not reserve {len(waiting)} of {len(bundles)} groups of devices within {timeout:g} s; it has "
            f"{total} in all: is something else running on the cluster?"
        )
    return shares


def strategy(group: Any, bundle: int) -> Any:
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    return PlacementGroupSchedulingStrategy(
        placement_group=group, placement_group_bundle_index=bundle, placement_group_capture_child_tasks=True
    )
