"""Batches made ahead: in which order, with which weights, and across a checkpoint."""

import json
import math
import threading
from pathlib import Path

import pytest

from openrlhf.errors import UserError
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.trainer.rollout_queue import AHEAD_FILE, Batch, RolloutQueue, read, written

PROMPTS = [Prompt(index, f"p{index}", (1,), "a") for index in range(8)]


class Engines:
    """Makes a rollout per prompt with the weights that are there; never two batches at once."""

    def __init__(self) -> None:
        self.version, self.busy = 0, threading.Lock()
        self.threads: list[str] = []

    def make(self, indices: list[int], number: int) -> list[Rollout]:
        assert self.busy.acquire(blocking=False)
        self.threads.append(threading.current_thread().name)
        made = [Rollout(PROMPTS[i], number, (7,), (-0.5,), "stop", "", 1.0, (self.version,)) for i in indices]
        self.busy.release()
        return made


def versions(ahead: int, batches: int = 5) -> list[int]:
    """The version of each batch's weights, in a run that updates them after each."""
    engines = Engines()
    queue = RolloutQueue(engines.make, [[n] for n in range(batches)], ahead)
    found = []
    while (batch := queue.take()) is not None:
        (rollout,) = batch.rollouts
        assert rollout.sample == len(found) + 1
        found += rollout.versions
        queue.begin()
        queue.settle()
        engines.version += 1
    assert ("MainThread" in engines.threads, len({*engines.threads}) > 1) == (True, ahead > 0)
    return found


@pytest.mark.parametrize(
    ("ahead", "expected"), [(0, [0, 1, 2, 3, 4]), (1, [0, 0, 1, 2, 3]), (2, [0, 0, 0, 1, 2]), (9, [0] * 5)]
)
def test_a_batch_has_the_weights_of_as_many_steps_before_as_may_be(ahead: int, expected: list[int]) -> None:
    assert versions(ahead) == expected


def test_what_goes_wrong_ahead_is_raised_where_the_batch_is_wanted() -> None:
    def make(indices: list[int], number: int) -> list[Rollout]:
        if number == 2:
            raise UserError("no reward")
        return []

    queue = RolloutQueue(make, [[0], [1], [2]], ahead=2)
    assert queue.take() is not None
    queue.begin()
    with pytest.raises(UserError, match="no reward"):
        queue.settle()


def test_batches_that_wait_are_in_the_checkpoint_and_come_first_when_it_is_continued(tmp_path: Path) -> None:
    engines = Engines()
    queue = RolloutQueue(engines.make, [[0, 1], [2, 3], [4, 5]], ahead=1)
    queue.take()
    queue.begin()
    odd = Rollout(PROMPTS[3], 1, (5, 6), (-0.1, -1 / 3), "length", "é", math.nan, (0, 1))
    waiting = [Batch([*batch.rollouts, odd], batch.seconds) for batch in queue.settle()]
    (tmp_path / AHEAD_FILE).write_text(written(waiting))
    (found,) = restored = read(tmp_path, PROMPTS)
    assert found.rollouts[:-1] == waiting[0].rollouts[:-1]
    assert math.isnan(found.rollouts[-1].reward)
    assert found.rollouts[-1].logprobs == odd.logprobs
    continued = RolloutQueue(engines.make, [[4, 5]], ahead=1, done=1, waiting=restored)
    assert continued.take() is found
    last = continued.take()
    assert last is not None
    assert [r.sample for r in last.rollouts] == [3, 3]
    assert continued.take() is None


def test_a_damaged_file_and_other_prompts_are_named(tmp_path: Path) -> None:
    assert read(tmp_path, PROMPTS) == []
    file = tmp_path / AHEAD_FILE
    for text in ("{", "[1]", json.dumps([{"seconds": 1, "rollouts": [{"prompt": 99}]}])):
        file.write_text(text)
        with pytest.raises(UserError, match=r"rollouts_ahead.json cannot be read"):
            read(tmp_path, PROMPTS)
