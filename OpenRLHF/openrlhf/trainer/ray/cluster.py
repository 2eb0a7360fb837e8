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
    """What each rank of a role may take of its bundle.

    bundles: by rank, the index of its bundle: ranks that are neighbours are on the same node wherever they can be.
    nodes: by rank, the name of its node.
    """

    group: Any
    cpus: float
    gpus: float
    bundles: tuple[int, ...] = ()
    nodes: tuple[str, ...] = ()


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
    engine_names = tuple(f"engine{i}" for i in range(config.engines))
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


def sharing_roles(config: RLConfig) -> frozenset[str]:
    """Roles that share their devices with another role or with engines."""
    return frozenset(role for own in layout(config) if len(own.roles) > 1 for role in own.roles)


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
    groups = []
    for own in bundles:
        bundle = {"CPU": cpus * len(own.roles), **({"GPU": 1.0} if gpus else {})}
        groups.append(placement_group([bundle] * own.ranks, strategy="STRICT_PACK" if own.same_node else "PACK"))
    waiting_for = [group.ready() for group in groups]
    _, waiting = ray.wait(waiting_for, num_returns=len(waiting_for), timeout=timeout)
    if waiting:
        raise UserError(
            f"Ray could not reserve {len(waiting)} of {len(bundles)} groups of devices within {timeout:g} s; it has "
            f"{total} in all: is something else running on the cluster?"
        )
    shares = {}
    for own, group in zip(bundles, groups, strict=True):
        order, nodes = _by_node(group)
        share = Share(group, cpus, math.floor(100 / len(own.roles)) / 100 if gpus else 0.0, order, nodes)
        shares.update(dict.fromkeys(own.roles, share))
    return shares


def _by_node(group: Any) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Indices of a group's bundles, node by node, and the names of their nodes."""
    import ray
    from ray.util.placement_group import placement_group_table

    lies_on = placement_group_table(group)["bundles_to_node_id"]
    order = node_by_node([lies_on[index] for index in range(len(lies_on))])
    names = {node["NodeID"]: node["NodeName"] for node in ray.nodes()}
    return order, tuple(names.get(lies_on[index], lies_on[index]) for index in order)


def node_by_node(nodes: Sequence[str]) -> tuple[int, ...]:
    """Indices of bundles in an order in which those of a node are neighbours; nodes in the order of their first bundle.

    nodes: where each bundle lies. Ray numbers bundles without regard to where it puts them (ray#51117), while ranks
    that split rows, shards that ZeRO++ keeps within a node and an engine's tensor-parallel workers must be close.
    """
    return tuple(sorted(range(len(nodes)), key=lambda index: nodes.index(nodes[index])))


def engine_bundles(share: Share, number: int, size: int, colocated: bool) -> tuple[list[int], str]:
    """The bundles of an engine's workers, and the name of their node.

    colocated: engines use the policy's bundles, one after the other; otherwise each has a group of its own.

    Raises:
        UserError: an engine's GPUs lie on several nodes although one node had enough.
    """
    first = number * size if colocated else 0
    nodes = share.nodes[first : first + size]
    if len(set(nodes)) > 1 and max(share.nodes.count(node) for node in nodes) >= size:
        raise UserError(
            f"engine {number} would have its GPUs on {' and '.join(dict.fromkeys(nodes))}: choose a "
            f"--vllm_tensor_parallel_size that divides the GPUs per node, found {size}"
        )
    return list(share.bundles[first : first + size]), nodes[0]


def strategy(group: Any, bundle: int) -> Any:
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    return PlacementGroupSchedulingStrategy(
        placement_group=group, placement_group_bundle_index=bundle, placement_group_capture_child_tasks=True
    )
