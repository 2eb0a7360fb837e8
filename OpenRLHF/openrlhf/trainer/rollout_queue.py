"""Rollout batches in the order of the sampler, some of them made before they are needed."""

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openrlhf.errors import UserError
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.rollout.deadline import Background

AHEAD_FILE = "rollouts_ahead.json"  # in a checkpoint
_FIELDS = ("sample", "token_ids", "logprobs", "finish_reason", "text", "reward", "versions", "guided")


@dataclass(frozen=True)
class Batch:
    """The rollouts of a step, and the seconds that they took to make."""

    rollouts: list[Rollout]
    seconds: float


class RolloutQueue:
    """Batch b is made with the weights of step b − 1 − `ahead`, so that a run is the same however fast anybody is.

    make: the rollouts of a batch, from the prompts' indices and the batch's number, counted from 1. Called in a thread
        of its own where a batch is made ahead, one call at a time.
    done: the number of the last batch that was trained on. waiting: batches behind it that were made by an earlier run.
    """

    def __init__(
        self,
        make: Callable[[list[int], int], list[Rollout]],
        batches: Iterable[list[int]],
        ahead: int,
        done: int = 0,
        waiting: Sequence[Batch] = (),
    ) -> None:
        self._make = make
        self._batches = iter(batches)
        self._ahead = ahead
        self._waiting: deque[Batch | Background[Batch]] = deque(waiting)
        self._number = done + len(waiting)

    def take(self) -> Batch | None:
        """The next batch, as soon as it is there; None at the end."""
        if self._waiting:
            return _made(self._waiting.popleft())
        indices = next(self._batches, None)
        return None if indices is None else self._timed(indices, None)

    def begin(self) -> None:
        """Lets as many batches be made as may be, with the weights that engines have now."""
        while len(self._waiting) < self._ahead and (indices := next(self._batches, None)) is not None:
            before = self._waiting[-1] if self._waiting else None
            self._number += 1
            self._waiting.append(Background(self._timed, indices, before, self._number))

    def settle(self) -> list[Batch]:
        """Returns when no engine is at work, with the batches that wait."""
        self._waiting = deque(map(_made, self._waiting))
        return [batch for batch in self._waiting if isinstance(batch, Batch)]

    def _timed(self, indices: list[int], before: Batch | Background[Batch] | None, number: int | None = None) -> Batch:
        if before is not None:
            _made(before)
        if number is None:
            self._number = number = self._number + 1
        started = time.monotonic()
        rollouts = self._make(indices, number)
        return Batch(rollouts, time.monotonic() - started)


def _made(batch: Batch | Background[Batch]) -> Batch:
    return batch if isinstance(batch, Batch) else batch.result()


def written(batches: Sequence[Batch]) -> str:
    """As a checkpoint keeps them."""

    def row(rollout: Rollout) -> dict[str, Any]:
        values = {name: getattr(rollout, name) for name in _FIELDS}
        return {
            **values,
            "reward": None if math.isnan(rollout.reward) else rollout.reward,
            "prompt": rollout.prompt.index,
        }

    return json.dumps([{"seconds": b.seconds, "rollouts": [row(r) for r in b.rollouts]} for b in batches])


def read(folder: Path, prompts: Sequence[Prompt]) -> list[Batch]:
    """From a checkpoint's folder; none where it has none.

    Raises:
        UserError: the file is damaged, or belongs to other prompts.
    """
    file = folder / AHEAD_FILE
    if not file.is_file():
        return []
    known = {prompt.index: prompt for prompt in prompts}

    def rollouts(rows: Sequence[dict[str, Any]]) -> Iterator[Rollout]:
        for row in rows:
            values: dict[str, Any] = {n: tuple(row[n]) if isinstance(row[n], list) else row[n] for n in _FIELDS}
            values["reward"] = math.nan if row["reward"] is None else row["reward"]
            yield Rollout(prompt=known[row["prompt"]], **values)

    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return [Batch(list(rollouts(batch["rollouts"])), batch["seconds"]) for batch in found]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} cannot be read ({error!r}): continue from another checkpoint, or start anew") from None
