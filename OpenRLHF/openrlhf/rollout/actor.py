"""An engine as a Ray actor. The class is plain: a test can use it without Ray."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from openrlhf.rollout.engine import Completion, Request, Sampling
from openrlhf.rollout.opening import open_engine
from openrlhf.utils.ray_connection import see_own_gpus
from openrlhf.utils.threads import SLEEPING

if TYPE_CHECKING:
    from openrlhf.rollout.checksum import Names


class EngineActor:
    """Holds one engine; Ray wraps this class (`ray.remote(EngineActor)`).

    `engine` and `options` as in `opening.open_engine`. Every method of an engine is there under the same name.
    """

    def __init__(self, model_path: str, engine: str = "auto", **options: Any) -> None:
        if os.environ.get("VLLM_RAY_BUNDLE_INDICES"):
            # This process drives workers that have GPUs of their own; Ray set it to none at all.
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        else:
            see_own_gpus()
        self._open = partial(open_engine, model_path, engine, **options)

    @cached_property
    def _engine(self) -> Any:
        """Opened at the first call, not in the construction: an error there reaches the caller only as the death of
        an actor."""
        return self._open()

    def ready(self) -> bool:
        """Returns once the model is loaded."""
        return self._engine is not None

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        """As `RolloutEngine.generate`; call it with `num_returns="streaming"`."""
        yield from self._engine.generate(requests, sampling)

    def sleep(self, keep_weights: bool) -> None:
        self._engine.sleep(keep_weights)

    def wake_weights(self) -> None:
        self._engine.wake_weights()

    def wake_cache(self) -> None:
        self._engine.wake_cache()

    def shutdown(self) -> None:
        self._engine.shutdown()

    def init_weight_transfer_engine(self, init_info: Mapping[str, Any]) -> None:
        self._engine.init_weight_transfer_engine(init_info)

    def shutdown_weight_transfer_engine(self) -> None:
        self._engine.shutdown_weight_transfer_engine()

    def start_weight_update(self) -> None:
        self._engine.start_weight_update()

    def update_weights(self, update_info: Mapping[str, Any]) -> None:
        self._engine.update_weights(update_info)

    def finish_weight_update(self, version: int) -> None:
        self._engine.finish_weight_update(version)

    def transfer_info(self) -> dict[str, Any]:
        """The engine's `transfer_info`, and "node": the Ray node that it runs on."""
        import ray

        return {**self._engine.transfer_info(), "node": ray.get_runtime_context().get_node_id()}

    def parameter_checksums(self) -> "list[dict[Names, int]]":
        return self._engine.parameter_checksums()


def actor_options(
    *,
    tensor_parallel_size: int = 1,
    gpus_per_worker: float = 1.0,
    bundle_indices: Sequence[int] = (),
    threads: int = 1,
    in_flight: bool = False,
) -> dict[str, Any]:
    """The options with which an `EngineActor` is to be created (`ray.remote(EngineActor).options(**these)`).

    With one worker the engine runs inside the actor, which holds the GPU (`gpus_per_worker` 0 on a machine
    without one). With tensor parallelism the actor holds none: vLLM's Ray executor creates one worker in each
    of the bundles `bundle_indices` of the actor's placement group, with `gpus_per_worker` each (below 1 when
    the GPUs are shared with trainer ranks). The caller adds the scheduling strategy, with
    `placement_group_capture_child_tasks=True`.

    threads: CPU threads of the engine; more than one per core makes vLLM on the CPU many times slower.
    in_flight: weights are taken while it generates.
    """
    environment = {"OMP_NUM_THREADS": str(threads), **SLEEPING}
    concurrency = {"max_concurrency": 2} if in_flight else {}
    if tensor_parallel_size == 1:
        return {
            "num_cpus": 1,
            "num_gpus": gpus_per_worker,
            "runtime_env": {"env_vars": environment},
            **concurrency,
        }
    if len(bundle_indices) != tensor_parallel_size:
        raise ValueError(
            f"tensor parallel size {tensor_parallel_size} needs as many bundles, got {list(bundle_indices)}"
        )
    environment["VLLM_RAY_BUNDLE_INDICES"] = ",".join(map(str, bundle_indices))
    environment["VLLM_RAY_PER_WORKER_GPUS"] = str(gpus_per_worker)
    return {"num_cpus": 1, "num_gpus": 0, "runtime_env": {"env_vars": environment}, **concurrency}
