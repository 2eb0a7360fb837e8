"""Connects to Ray and places the roles: actor ranks and engines, apart or on the same GPUs, with GPUs or without."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openrlhf.config.errors import UserError

# Inside these processes nothing talks to a hub's progress bars, and CPU ranks share the cores.
WORKER_ENVIRONMENT = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "DS_ACCELERATOR_LOG_LEVEL": "ERROR",
}


def connect() -> None:
    """Joins the cluster that started this job, or starts Ray on this machine: on loopback, without a dashboard."""
    import ray

    if ray.is_initialized():
        return
    if os.environ.get("RAY_ADDRESS"):
        ray.init(address="auto", log_to_driver=True)
        return
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # keeps every port on loopback
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(include_dashboard=False)


@dataclass(frozen=True)
class Layout:
    """How many bundles the roles take, and what is in one.

    colocated: engines run on the actor's GPUs and own no bundle of their own.
    """

    actors: int
    engines: int
    tensor_parallel_size: int
    colocated: bool

    @property
    def gpus(self) -> int:
        return self.actors + (0 if self.colocated else self.engines * self.tensor_parallel_size)


@dataclass(frozen=True)
class Placement:
    """Placement groups and what a role may take of its bundle."""

    actor_group: Any
    engine_groups: Sequence[Any]
    cpus: float
    has_gpus: bool
    colocated: bool

    @property
    def actor_gpus(self) -> float:
        return 0.0 if not self.has_gpus else 0.5 if self.colocated else 1.0


def place(layout: Layout, timeout: float = 120.0) -> Placement:
    """Reserves the bundles.

    On a cluster without any GPU, roles get a share of the CPUs.

    Raises:
        UserError: the cluster has GPUs, but too few, or the bundles cannot be had in time.
    """
    import ray
    from ray.util.placement_group import placement_group

    total = ray.cluster_resources()
    gpus = total.get("GPU", 0)
    if gpus and gpus < layout.gpus:
        raise UserError(
            f"{layout.gpus} GPUs are needed ({layout.actors} actor ranks"
            + ("" if layout.colocated else f", {layout.engines} engines × {layout.tensor_parallel_size}")
            + f"), Ray has {gpus:g}: lower --actor_num_gpus_per_node or --vllm_num_engines, or set CUDA_VISIBLE_DEVICES"
        )
    roles = layout.actors + layout.engines * layout.tensor_parallel_size + 1  # and the driver
    cpus = min(1.0, math.floor(100 * total.get("CPU", 1) / roles) / 100)
    bundle = {"CPU": cpus, "GPU": 1.0} if gpus else {"CPU": cpus}
    shared = {name: value * 2 if name == "CPU" else value for name, value in bundle.items()}
    actor_group = placement_group([shared if layout.colocated else bundle] * layout.actors, strategy="PACK")
    groups = [actor_group]
    if not layout.colocated:
        groups += [
            placement_group([bundle] * layout.tensor_parallel_size, strategy="STRICT_PACK")
            for _ in range(layout.engines)
        ]
    _, waiting = ray.wait([group.ready() for group in groups], num_returns=len(groups), timeout=timeout)
    if waiting:
        raise UserError(
            f"Ray could not reserve {groups[0].bundle_specs} and {len(groups) - 1} engines within {timeout:g} s; it "
            f"has {total} in all: is something else running on the cluster?"
        )
    return Placement(actor_group, groups[1:], cpus, bool(gpus), layout.colocated)


def strategy(group: Any, bundle: int) -> Any:
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    return PlacementGroupSchedulingStrategy(
        placement_group=group, placement_group_bundle_index=bundle, placement_group_capture_child_tasks=True
    )
