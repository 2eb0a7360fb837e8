"""Engines are replaced, get the weights, and are asked again for what is missing alone."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from openrlhf.rollout.engine import Completion, Request, Sampling
from openrlhf.rollout.errors import EngineError
from openrlhf.rollout.pool import EnginePool, _check_sense
from openrlhf.rollout.replacing import REPLACEMENTS, ReplacingPool

SAMPLING = Sampling(max_new_tokens=2)
REQUESTS = [Request((number,), (7,), seed=number) for number in range(6)]


def completion(request: Request) -> Completion:
    """What an engine says is a function of the request alone."""
    return Completion(request.key, (request.seed, 1), (-0.5, -float(request.seed)), "stop", f"answer {request.seed}")


class Pool(EnginePool):
    """Two engines in this process; `failures`: after how many answers a call fails, and whose fault it is."""

    def __init__(self, failures: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__(["engine 0", "engine 1"])
        self.failures = list(failures)
        self.asked: list[list[int]] = []

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        self.asked.append([request.seed for request in requests])
        after, engine = self.failures.pop(0) if self.failures else (len(requests) + 1, 0)
        for number, request in enumerate(reversed(requests)):
            if number == after:
                break
            yield [completion(request)]
        if after <= len(requests):
            raise EngineError(f"engine {engine} died: Ray's words\nand many more", engine)

    def replace(self, index: int, start: Callable[[int], Any]) -> None:
        self.engines[index] = start(index)

    def sleep(self, keep_weights: bool) -> None:
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        if self.failures:
            raise EngineError("engine 1 died", self.failures.pop(0)[1])


def run(pool: Pool) -> tuple[dict, list]:
    events: list[Any] = []

    def start(number: int) -> str:
        events.append(("start", number))
        return f"engine {number}, anew"

    replacing = ReplacingPool(pool, start, lambda engines: events.append(("deliver", *engines)))
    found = [one for part in replacing.generate(REQUESTS, SAMPLING) for one in part]
    assert len(found) == len(REQUESTS)
    return {one.key: one for one in found}, events


WHOLE = {request.key: completion(request) for request in REQUESTS}


@pytest.mark.parametrize("after", range(7))
def test_an_engine_that_dies_at_any_moment_changes_nothing_in_the_result(
    after: int, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = Pool([(after, 1)])
    found, events = run(pool)
    assert found == WHOLE
    assert events == [("start", 1), ("deliver", "engine 0", "engine 1, anew")]
    assert pool.asked == [[0, 1, 2, 3, 4, 5], list(range(6 - after))]
    assert capsys.readouterr().err == "note: engine 1 died: Ray's words: it is started anew and asked again.\n"


def test_the_successor_may_die_too_but_not_for_ever() -> None:
    assert run(Pool([(1, 0), (2, 1), (0, 0)]))[0] == WHOLE
    with pytest.raises(EngineError, match="engine 0 died"):
        run(Pool([(0, 0)] * (REPLACEMENTS + 1)))


def test_sleeping_and_healing_replace_what_died() -> None:
    delivered: list[Any] = []
    for call in (lambda pool: pool.sleep(True) is None, lambda pool: pool.heal()):
        delivered.clear()
        pool = ReplacingPool(Pool([(0, 1)]), lambda number: f"new {number}", delivered.append)
        assert call(pool)
        assert pool.engines == ["engine 0", "new 1"]
        assert len(delivered) == 1
    assert ReplacingPool(Pool(), str, delivered.append).heal() is False


GOOD = completion(REQUESTS[1])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Completion((9,), GOOD.token_ids, GOOD.logprobs, "stop", ""), "not asked"),
        (Completion(GOOD.key, (1, 2, 3), GOOD.logprobs, "stop", ""), "3 tokens and 2 log-probabilities"),
        (Completion(GOOD.key, GOOD.token_ids, (float("nan"), -1.0), "stop", ""), "log-probabilities that are none"),
        (Completion(GOOD.key, GOOD.token_ids, (3.0, -1.0), "stop", ""), "log-probabilities that are none"),
        (Completion(GOOD.key, (-1, 1), GOOD.logprobs, "stop", ""), "tokens that are none"),
    ],
)
def test_nonsense_is_a_failure_of_the_engine(answer: Completion, said: str) -> None:
    owed = {GOOD.key}
    _check_sense([GOOD], 1, owed)
    with pytest.raises(EngineError, match=f"engine 1 answered .* {said}") as failure:
        _check_sense([answer], 1, owed)
    assert failure.value.engine == 1
