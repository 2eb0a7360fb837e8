"""All ranks of the policy as Ray actors, called together."""

import os
from collections.abc import Sequence
from typing import Any

from openrlhf.config.errors import UserError
from openrlhf.trainer.batching import Example, split_over_ranks
from openrlhf.trainer.policy_worker import PolicyWorker
from openrlhf.trainer.ray.cluster import WORKER_ENVIRONMENT, Placement, strategy
from openrlhf.utils.tally import Tally


def sync_backend(args: Any, has_cuda: bool) -> str:
    """How weights travel: IPC between processes that share a GPU, what the flag says between GPUs, Gloo on CPUs."""
    if not has_cuda:
        return "gloo"
    return "ipc" if args.colocate_all_models else args.vllm_sync_backend


class RankError(RuntimeError):
    """A rank of the policy failed, died, or did not answer in time; the message names it."""


class PolicyGroup:
    """Starts one `PolicyWorker` per rank and calls them together.

    step_timeout: seconds within which any one call must end on every rank.
    sync_backend: see the function of this name.
    """

    def __init__(self, args: Any, placement: Placement, world_size: int, step_timeout: float) -> None:
        import ray

        self._args = args
        self._timeout = step_timeout
        threads = max(1, (os.cpu_count() or 1) // (world_size + 1)) if not placement.has_gpus else 4
        environment = {"env_vars": {**WORKER_ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}}
        worker: Any = ray.remote(PolicyWorker)
        self.ranks: list[Any] = [
            worker.options(
                num_cpus=placement.cpus,
                num_gpus=placement.actor_gpus,
                scheduling_strategy=strategy(placement.actor_group, rank),
                runtime_env=environment,
            ).remote(args, rank, world_size)
            for rank in range(world_size)
        ]
        host, port, has_cuda = self._wait([self.ranks[0].address.remote()])[0]
        self.sync_backend = sync_backend(args, has_cuda)
        self._setup = [rank.setup.remote(host, port) for rank in self.ranks]

    def wait_until_ready(self) -> None:
        """Models load while other roles start; this waits for them."""
        self._wait(self._setup)

    def train_step(self, examples: Sequence[Example], learning_rate: float) -> Tally:
        """One optimiser step on these examples, balanced over the ranks."""
        shares = split_over_ranks(examples, len(self.ranks), self._args.micro_train_batch_size)
        calls = [rank.train_step.remote(share, learning_rate) for rank, share in zip(self.ranks, shares, strict=True)]
        total = Tally()
        for tally in self._wait(calls):
            total.merge(tally)
        return total

    def call(self, method: str, *arguments: Any) -> list[Any]:
        """The same collective call on every rank; one result per rank."""
        return self._wait([getattr(rank, method).remote(*arguments) for rank in self.ranks])

    def _wait(self, calls: list[Any]) -> list[Any]:
        """Results in order; stops at the first rank that fails, since the others may then wait for it forever."""
        import ray
        from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

        waiting, number = list(calls), {call: index for index, call in enumerate(calls)}
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=1, timeout=self._timeout)
            if not done:
                silent = sorted(number[call] for call in waiting)
                raise RankError(f"ranks {silent} of the policy did not answer within {self._timeout:g} s")
            try:
                ray.get(done[0], timeout=self._timeout)
            except RayTaskError as error:
                if isinstance(error.cause, UserError):
                    raise error.cause from None
                raise RankError(f"rank {number[done[0]]} of the policy failed: {error}") from error
            except (RayActorError, GetTimeoutError) as error:
                raise RankError(f"rank {number[done[0]]} of the policy died: {error}") from error
        return ray.get(calls)

    def shutdown(self) -> None:
        import ray

        for rank in self.ranks:
            ray.kill(rank)
