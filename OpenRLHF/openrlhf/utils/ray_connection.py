"""Connects to Ray: to the cluster that is named, or to one of this process's own."""

import os
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
