"""One engine in this process, or several as Ray actors behind the same interface."""

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from openrlhf.errors import UserError
from openrlhf.rollout.actor import EngineActor, actor_options
from openrlhf.rollout.engine import Completion, Key, Request, RolloutEngine, Sampling
from openrlhf.rollout.errors import EngineError
from openrlhf.rollout.opening import choose_engine, open_engine
from openrlhf.utils.ray_connection import connect


def open_pool(
    model_path: str,
    engine: str = "auto",
    *,
    num_engines: int = 1,
    stall_limit_s: float = 3600.0,
    **options: Any,
) -> RolloutEngine:
    """An engine, or `num_engines` of them, to generate with; call `shutdown()` at the end.

    One engine lives in this process and needs no Ray. More become Ray actors, one per GPU where there are
    GPUs (with tensor parallelism that many each); a process that is not connected to Ray joins RAY_ADDRESS, or
    starts Ray on this machine, on loopback.
    `options` as in `open_engine`, `stall_limit_s` as in `EnginePool`.
    """
    if num_engines == 1:
        return open_engine(model_path, engine, **options)
    import ray

    started = not ray.is_initialized()
    if started:
        connect(log_to_driver=False)
    try:
        actors = _start_actors(model_path, choose_engine(engine), num_engines, options)
        pool = EnginePool(actors, stall_limit_s=stall_limit_s, stops_ray=started)
        pool.wait_until_ready()
    except BaseException:
        if started:
            ray.shutdown()
        raise
    return pool


def _start_actors(model_path: str, engine: str, count: int, options: dict[str, Any]) -> list[Any]:
    import ray
    from ray.util.placement_group import placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    size = options.get("tensor_parallel_size", 1)
    has_gpus = ray.cluster_resources().get("GPU", 0) > 0
    bundle = {"CPU": 1.0, "GPU": 1.0} if has_gpus else {"CPU": 1.0}
    if ray.cluster_resources().get("GPU", 0) < count * size and has_gpus:
        raise UserError(
            f"{count} engines of tensor parallel size {size} need {count * size} GPUs, Ray has "
            f"{ray.cluster_resources()['GPU']:g}; lower --num_engines or --tensor_parallel_size"
        )
    remote = ray.remote(EngineActor)
    actors = []
    for _ in range(count):
        group = placement_group([bundle] * size, strategy="STRICT_PACK")
        ready, _rest = ray.wait([group.ready()], timeout=60)
        if not ready:
            raise UserError(f"Ray has no room for {count} engines; it has {ray.cluster_resources()}")
        strategy = PlacementGroupSchedulingStrategy(
            placement_group=group,
            placement_group_bundle_index=0,
            placement_group_capture_child_tasks=True,
        )
        settings = actor_options(
            tensor_parallel_size=size,
            gpus_per_worker=1.0 if has_gpus else 0.0,
            bundle_indices=range(size),
            threads=1 if has_gpus else max(1, (os.cpu_count() or 1) // count),
        )
        actors.append(remote.options(scheduling_strategy=strategy, **settings).remote(model_path, engine, **options))
    return actors


class EnginePool:
    """Several `EngineActor`s of Ray's behind the interface of one engine.

    engines: the actor handles.
    stall_limit_s: seconds in which some engine must deliver something, while any of them owes completions.

    Raises (`generate` and the other calls): EngineError naming the engine that died or stalled and the
    requests that it owed; an engine's UserError comes through as it is.
    """

    def __init__(self, engines: Sequence[Any], *, stall_limit_s: float = 3600.0, stops_ray: bool = False) -> None:
        self.engines = list(engines)
        self._stall_limit_s = stall_limit_s
        self._stops_ray = stops_ray

    def begin_ready(self) -> Callable[[], None]:
        """Lets all engines load; the pending call waits for them."""
        return self._begin("ready")

    def wait_until_ready(self) -> None:
        self._on_all("ready")

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        """See `RolloutEngine.generate`. All samples of a prompt go to the same engine, for its prefix cache.

        Closing the iterator early does not stop the engines; their next call waits until they are done.
        """
        streams: dict[Any, int] = {}
        owed: list[set[Key]] = []
        for index, share in enumerate(spread(requests, len(self.engines), sampling.max_new_tokens)):
            owed.append({request.key for request in share})
            if share:
                generate = self.engines[index].generate.options(num_returns="streaming")
                streams[generate.remote(share, sampling)] = index
        return self._collect(streams, owed)

    def _collect(self, streams: dict[Any, int], owed: list[set[Key]]) -> Iterator[list[Completion]]:
        import ray

        deadline = time.monotonic() + self._stall_limit_s
        while streams:
            ready, _rest = ray.wait(list(streams), timeout=max(0.0, deadline - time.monotonic()), fetch_local=False)
            if not ready:
                index = next(iter(streams.values()))
                raise EngineError(
                    f"no completion for {self._stall_limit_s:g} s; engine {index} still owes "
                    f"{len(owed[index])} (raise --generate_timeout if the completions are that long)",
                    index,
                    sorted(owed[index]),
                )
            stream: Any
            for stream in ready:
                index = streams[stream]
                try:
                    completions: list[Completion] = _get(next(stream), index, owed[index])
                except StopIteration:
                    if owed[index]:
                        raise EngineError(
                            f"engine {index} ended without {len(owed[index])} completions", index, sorted(owed[index])
                        ) from None
                    del streams[stream]
                    continue
                deadline = time.monotonic() + self._stall_limit_s
                _check_sense(completions, index, owed[index])
                owed[index].difference_update(completion.key for completion in completions)
                yield completions

    def replace(self, index: int, start: Callable[[int], Any]) -> None:
        """Ends an engine, whatever it does, and waits until its successor is ready. start: see `ReplacingPool`."""
        import ray

        ray.kill(self.engines[index])
        self.engines[index] = start(index)
        _get(self.engines[index].ready.remote(), index, (), timeout=self._stall_limit_s)

    def sleep(self, keep_weights: bool) -> None:
        self._on_all("sleep", keep_weights)

    def wake_weights(self) -> None:
        self._on_all("wake_weights")

    def wake_cache(self) -> None:
        self._on_all("wake_cache")

    def shutdown(self) -> None:
        """Ends the actors, also those that no longer answer."""
        import ray

        for engine in self.engines:
            ray.kill(engine)
        self.engines.clear()
        if self._stops_ray:
            ray.shutdown()

    def _on_all(self, method: str, *arguments: Any) -> None:
        self._begin(method, *arguments)()

    def _begin(self, method: str, *arguments: Any) -> Callable[[], None]:
        calls = [getattr(engine, method).remote(*arguments) for engine in self.engines]

        def finish() -> None:
            for index, call in enumerate(calls):
                _get(call, index, (), timeout=self._stall_limit_s)

        return finish


def _get(reference: Any, engine: int, owed: Sequence[Key] | set[Key], timeout: float | None = None) -> Any:
    """`ray.get`, with errors that name the engine."""
    import ray
    from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

    try:
        return ray.get(reference, timeout=timeout)
    except RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        raise EngineError(f"engine {engine} failed: {error}", engine, sorted(owed)) from error
    except RayActorError as error:
        raise EngineError(f"engine {engine} died: {error}", engine, sorted(owed)) from error
    except GetTimeoutError as error:
        raise EngineError(f"engine {engine} was silent for {timeout:g} s", engine, sorted(owed)) from error


def _check_sense(completions: Sequence[Completion], engine: int, owed: set[Key]) -> None:
    """EngineError where an answer cannot be one, as after a fault of memory or of a kernel."""
    for completion in completions:
        ids, logprobs = completion.token_ids, completion.logprobs
        if completion.key not in owed:
            wrong = "for a request that it was not asked, or twice"
        elif len(ids) != len(logprobs):
            wrong = f"with {len(ids)} tokens and {len(logprobs)} log-probabilities"
        elif not all(math.isfinite(value) and value < 0.1 for value in logprobs):  # bf16 rounds 0 up a little
            wrong = "with log-probabilities that are none"
        elif any(token < 0 for token in ids):
            wrong = "with tokens that are none"
        else:
            continue
        raise EngineError(f"engine {engine} answered {completion.key} {wrong}", engine, sorted(owed))


def spread(requests: Sequence[Request], engines: int, max_new_tokens: int) -> list[list[Request]]:
    """Shares requests out so that each engine has about as many tokens to handle at most.

    Requests with the same prompt stay together. The heaviest prompts go first, each to the engine with the
    least so far; equal ones in the order given, so the result is a function of the requests alone.
    """
    prompts: dict[tuple[int, ...], list[Request]] = defaultdict(list)
    for request in requests:
        prompts[request.prompt_ids].append(request)
    shares: list[list[Request]] = [[] for _ in range(engines)]
    loads = [0] * engines

    def weight(group: list[Request]) -> int:
        return len(group[0].prompt_ids) + len(group) * max_new_tokens

    for group in sorted(prompts.values(), key=weight, reverse=True):
        lightest = loads.index(min(loads))
        shares[lightest].extend(group)
        loads[lightest] += weight(group)
    return shares
