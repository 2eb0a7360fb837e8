"""All ranks of a role as Ray actors."""

import os
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from openrlhf.config.reinforcement import RLConfig
from openrlhf.errors import UserError
from openrlhf.trainer.ray.cluster import WORKER_ENVIRONMENT, Share, strategy
from openrlhf.trainer.role_group import RoleGroup
from openrlhf.utils.heap import heap_environment
from openrlhf.utils.threads import SLEEPING


class RankError(RuntimeError):
    """A rank of a role failed, died, or did not answer in time; the message names it."""


class RankProcess:
    """A worker in a process of its own, the only one that imports it: the driver has no use for DeepSpeed."""

    def __init__(self, worker: str, *arguments: Any) -> None:
        module, _, name = worker.partition(":")
        self._worker = getattr(import_module(module), name)(*arguments)

    def call(self, method: str, *arguments: Any) -> Any:
        return getattr(self._worker, method)(*arguments)


class RayRoleGroup(RoleGroup):
    """Starts one worker per rank in the role's share of the cluster; `begin_setup` makes them load their models.

    worker: a `trainer.worker.Worker`, as "module:Class".
    step_timeout: seconds within which any one call must end on every rank.
    extra: further arguments of the worker's constructor.
    has_cuda: whether the ranks have GPUs.
    """

    def __init__(
        self,
        role: str,
        worker: str,
        config: RLConfig,
        share: Share,
        world_size: int,
        step_timeout: float,
        extra: Sequence[Any] = (),
    ) -> None:
        import ray

        self.config = config
        self.world_size = world_size
        self._role = role
        self._nodes = share.nodes
        self._timeout = step_timeout
        self._order = threading.Lock()  # all ranks get calls of several threads in the same order
        # Roles take turns on CPUs, so each may use all cores.
        threads = 4 if share.gpus else max(1, (os.cpu_count() or 1) // world_size)
        variables = {
            **WORKER_ENVIRONMENT,
            "OMP_NUM_THREADS": str(threads),
            **({} if share.gpus else heap_environment() | SLEEPING),
        }
        environment = {"env_vars": variables}
        actor: Any = ray.remote(type(worker.partition(":")[2], (RankProcess,), {}))  # the class names the process
        self.ranks: list[Any] = [
            actor.options(
                num_cpus=share.cpus,
                num_gpus=share.gpus,
                scheduling_strategy=strategy(share.group, share.bundles[rank]),
                runtime_env=environment,
            ).remote(worker, config, rank, world_size, *extra)
            for rank in range(world_size)
        ]
        # GPUs can be faked; without any, engines need not wait for an answer before they start.
        self.has_cuda = share.gpus > 0 and self._wait("has_cuda", [self.ranks[0].call.remote("has_cuda")])[0]

    def begin_setup(self) -> Callable[[], list[Any]]:
        """The ranks load their models while other roles do; the pending call waits for them."""
        places = self.call("address")
        host, port = places[0]
        # All on one machine: nobody else needs to reach them.
        host = "127.0.0.1" if {place[0] for place in places} == {host} else host
        return self.begin("setup", [(host, port)] * self.world_size)

    def begin(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> Callable[[], list[Any]]:
        with self._order:
            calls = [rank.call.remote(method, *own) for rank, own in zip(self.ranks, arguments, strict=True)]
        return lambda: self._wait(method, calls)

    def _wait(self, method: str, calls: list[Any]) -> list[Any]:
        """Results in order; stops at the first rank that fails, since the others may then wait for it forever."""
        import ray
        from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

        waiting, number = list(calls), {call: index for index, call in enumerate(calls)}
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=1, timeout=self._timeout)
            if not done:
                silent = sorted(number[call] for call in waiting)
                said = f"ranks {silent} of the {self._role} did not answer {method} within {self._timeout:g} s"
                raise RankError(f"{said} (--generate_timeout)")
            try:
                ray.get(done[0], timeout=self._timeout)
            except RayTaskError as error:
                if isinstance(error.cause, UserError):
                    raise error.cause from None
                raise RankError(f"{self._name(number[done[0]])} failed: {error}") from error
            except (RayActorError, GetTimeoutError) as error:
                raise RankError(f"{self._name(number[done[0]])} died: {error}") from error
        return ray.get(calls)

    def _name(self, rank: int) -> str:
        return f"rank {rank} of the {self._role} on node {self._nodes[rank]}"

    def shutdown(self) -> None:
        import ray

        for rank in self.ranks:
            ray.kill(rank)
