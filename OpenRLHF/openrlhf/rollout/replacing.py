"""Engines that die, stall or answer nonsense are replaced, and asked again for what is still missing.

Requests carry their own seeds, so whoever answers, and beside what, samples the same.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from openrlhf.rollout.engine import Completion, Key, Request, Sampling
from openrlhf.rollout.errors import EngineError
from openrlhf.rollout.pool import EnginePool
from openrlhf.utils.console import note

T = TypeVar("T")
REPLACEMENTS = 3  # within one call; more are no accident


class ReplacingPool:
    """An `EnginePool` with the same interface. One thread may generate while another sends weights.

    start: starts the engine of that number anew, in the place of the old one, and returns its handle.
    deliver: brings the present weights to all engines (handles).
    """

    def __init__(self, pool: EnginePool, start: Callable[[int], Any], deliver: Callable[[Sequence[Any]], None]) -> None:
        self._pool = pool
        self._start = start
        self._deliver = deliver
        self._lock = threading.RLock()
        self._replaced = self._noticed = 0

    @property
    def engines(self) -> list[Any]:
        return self._pool.engines

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        """See `RolloutEngine.generate`. EngineError: more engines failed than are replaced."""
        missing: dict[Key, Request] = {request.key: request for request in requests}
        for attempt in range(REPLACEMENTS + 1):
            before = self._replaced
            try:
                for completions in self._pool.generate(list(missing.values()), sampling):
                    for completion in completions:
                        del missing[completion.key]
                    yield completions
                return
            except EngineError as error:
                if attempt == REPLACEMENTS:
                    raise
                self._replace(error, before)

    def sleep(self, keep_weights: bool) -> None:
        self._retried(lambda: self._pool.sleep(keep_weights))

    def wake_weights(self) -> None:
        self._retried(self._pool.wake_weights)

    def wake_cache(self) -> None:
        self._retried(self._pool.wake_cache)

    def shutdown(self) -> None:
        self._pool.shutdown()

    def heal(self) -> bool:
        """Replaces engines that do not answer any more; whether any was replaced since the last call, here or
        elsewhere. Weights are delivered then."""
        with self._lock:
            self._retried(self._pool.wait_until_ready)
            healed = self._replaced > self._noticed
            self._noticed = self._replaced
        return healed

    def _retried(self, call: Callable[[], T]) -> T:
        for _ in range(REPLACEMENTS):
            before = self._replaced
            try:
                return call()
            except EngineError as error:
                self._replace(error, before)
        return call()

    def _replace(self, error: EngineError, before: int) -> None:
        """before: how many had been replaced when the failed call began; another thread may have been here since."""
        with self._lock:
            if self._replaced > before:
                return
            said = str(error).splitlines()[0]
            note(f"{said}: it is started anew and asked again.")
            self._pool.replace(error.engine, self._start)
            self._deliver(self._pool.engines)
            self._replaced += 1
