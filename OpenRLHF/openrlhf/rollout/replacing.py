"""Engines that die, stall or answer nonsense are replaced, and asked again for what is still missing.

Requests carry their own seeds, so whoever answers, and beside what, samples the same.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from openrlhf.rollout.engine import Completion, Key, Request, Sampling
from openrlhf.rollout.errors import EngineError
from openrlhf.rollout.pool import EnginePool
from openrlhf.utils.console import note

T = TypeVar("T")
REPLACEMENTS = 3  # within one call; more are no accident


class ReplacingPool:
    """An `EnginePool` with the same interface.

    start: starts the engine of that number anew, in the place of the old one, and returns its handle.
    deliver: brings the present weights to all engines (handles).
    """

    def __init__(self, pool: EnginePool, start: Callable[[int], Any], deliver: Callable[[Sequence[Any]], None]) -> None:
        self._pool = pool
        self._start = start
        self._deliver = deliver

    @property
    def engines(self) -> list[Any]:
        return self._pool.engines

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        """See `RolloutEngine.generate`. EngineError: more engines failed than are replaced."""
        missing: dict[Key, Request] = {request.key: request for request in requests}
        for attempt in range(REPLACEMENTS + 1):
            try:
                for completions in self._pool.generate(list(missing.values()), sampling):
                    for completion in completions:
                        del missing[completion.key]
                    yield completions
                return
            except EngineError as error:
                if attempt == REPLACEMENTS:
                    raise
                self._replace(error)

    def sleep(self, keep_weights: bool) -> None:
        self._retried(lambda: self._pool.sleep(keep_weights))

    def wake_weights(self) -> None:
        self._retried(self._pool.wake_weights)

    def wake_cache(self) -> None:
        self._retried(self._pool.wake_cache)

    def shutdown(self) -> None:
        self._pool.shutdown()

    def heal(self) -> bool:
        """Replaces engines that do not answer any more; whether there were any. Weights are delivered then."""
        healed = False
        for _ in range(REPLACEMENTS):
            try:
                self._pool.wait_until_ready()
                break
            except EngineError as error:
                self._replace(error)
                healed = True
        return healed

    def _retried(self, call: Callable[[], T]) -> T:
        for _ in range(REPLACEMENTS):
            try:
                return call()
            except EngineError as error:
                self._replace(error)
        return call()

    def _replace(self, error: EngineError) -> None:
        note(f"{str(error).splitlines()[0]}: it is started anew and asked again.")
        self._pool.replace(error.engine, self._start)
        self._deliver(self._pool.engines)
