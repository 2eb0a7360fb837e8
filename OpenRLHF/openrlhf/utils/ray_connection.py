"""Connects to Ray: to the cluster that is named, or to one of this process's own."""

import os
import sys
from typing import Any


def connect(**options: Any) -> None:
    """Joins the cluster of RAY_ADDRESS, as a job does; without it starts Ray on this machine. Once is enough."""
    import ray

    if ray.is_initialized():
        return
    if os.environ.get("RAY_ADDRESS"):
        ray.init(address="auto", **options)
    else:
        start_local_ray(**options)


def see_own_gpus() -> None:
    """In a Ray worker, before CUDA is initialised: the GPUs that Ray gave to this process are the only ones it sees.

    Ray does this itself, unless RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES tells it not to: then every rank would
    take the first GPU of its machine.
    """
    ray = sys.modules.get("ray")  # there in every worker of Ray's; a rank without Ray need not have it
    if ray is not None and ray.is_initialized() and (own := ray.get_gpu_ids()):
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, own))


def start_local_ray(**options: Any) -> None:
    """Starts a Ray of this process's own: every port on loopback, no dashboard. options: more of `ray.init`'s.

    Without an address, `ray.init` would join the cluster that some `ray start` of this machine named last, and wait
    for minutes where that has died.
    """
    import ray
    from ray._private import ray_constants

    # Where clusters are disabled, Ray listens on loopback; it reads the variable when it is first imported.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(address="local", include_dashboard=False, **options)
