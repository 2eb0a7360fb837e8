"""What can go wrong between trainer and engines while a run is going on."""

from collections.abc import Sequence

from openrlhf.rollout.engine import Key


class EngineError(RuntimeError):
    """An engine died, stalled or failed.

    engine: index of the engine in its pool.
    unfinished: keys of the requests that it still owed, so that a caller can give them to another engine.
    """

    def __init__(self, message: str, engine: int, unfinished: Sequence[Key] = ()) -> None:
        super().__init__(message, engine, tuple(unfinished))  # all of it, so that it survives pickling
        self.engine = engine
        self.unfinished = tuple(unfinished)

    def __str__(self) -> str:
        return self.args[0]


class WeightSyncError(RuntimeError):
    """A weight update did not arrive; the message names the engine, the rank or the parameter."""
