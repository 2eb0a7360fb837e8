"""Starts Ray on this machine alone."""

import os
from typing import Any


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
