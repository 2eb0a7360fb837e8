"""Grades pairs of answers: what is cheap at once, the rest in killable worker processes."""

import logging
import os
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any

from openrlhf.grading.comparing import quick
from openrlhf.grading.extraction.extract import extract_answer
from openrlhf.grading.policy import GradingPolicy, Verdict
from openrlhf.utils.worker_pool import WorkerError, WorkerFailure, WorkerPool, WorkerStartError, WorkerTimeout

logger = logging.getLogger(__name__)

# Of the time limit; the rest is for parsing, and for starting the next worker when this one was killed.
_ALGEBRA_SHARE = 0.6
_MEMORY_BYTES = 2 << 30
_WORKER = "openrlhf.grading.pool.worker"
Pair = tuple[str | None, str]


@dataclass(frozen=True)
class Graded:
    """One response: the answer found in it (None where it names none) and its verdict."""

    verdict: Verdict
    extracted: str | None


class GradingPool:
    """Grades in `workers` processes, each comparison within `timeout` seconds of wall time.

    Strings and plain numbers are settled in the caller. Everything else is parsed and compared in worker
    processes; what only computer algebra can decide goes on to a second set of workers, started when it is
    first needed. A comparison over its time or memory (`memory_bytes`, address space of a worker) is killed,
    its verdict is "timeout" or "worker_died", and `timeouts` or `deaths` counts it.
    """

    def __init__(self, workers: int = 2, timeout: float = 5.0, memory_bytes: int = _MEMORY_BYTES) -> None:
        self.timeout = timeout
        self._compare = WorkerPool("openrlhf.grading.pool.worker:comparing", workers, timeout, memory_bytes)
        self._algebra = WorkerPool(
            "openrlhf.grading.pool.worker:algebra", workers, timeout * _ALGEBRA_SHARE, memory_bytes
        )
        self._counting = threading.Lock()
        self.timeouts = 0
        self.deaths = 0

    def submit(self, prediction: str | None, gold: str, policy: GradingPolicy | None = None) -> "Future[Verdict]":
        """Starts one comparison; its future gives a verdict whatever the answers are.

        It raises only if no worker can start (`WorkerStartError`) or the pool is closed before
        (`RuntimeError`).
        """
        policy = policy or GradingPolicy()
        started = time.perf_counter()
        verdict: Future[Verdict] = Future()
        settled = quick.settle(prediction, gold, policy)
        if settled is not None:
            verdict.set_result(Verdict(*settled, time.perf_counter() - started))
            return verdict
        verdict.set_running_or_notify_cancel()
        payload = {"prediction": prediction, "gold": gold, "policy": policy.to_json()}
        self._stage(self._compare, payload, verdict, time.perf_counter() - started)
        return verdict

    def _stage(self, workers: WorkerPool, payload: dict[str, Any], verdict: "Future[Verdict]", spent: float) -> None:
        """Has `workers` compare, and settles `verdict` when they have, or passes on to computer algebra."""

        def finished(job: "Future[Any]") -> None:
            try:
                reply = job.result()
            except (WorkerFailure, CancelledError) as failure:
                self._failed(failure, verdict, spent)
                return
            seconds = spent + reply["seconds"]
            if reply["equal"] is None:
                self._stage(self._algebra, payload, verdict, seconds)
            else:
                verdict.set_result(Verdict(reply["equal"], reply["how"], seconds))

        try:
            job = workers.submit(payload)
        except RuntimeError as error:  # the pool was closed
            verdict.set_exception(error)
        else:
            job.add_done_callback(finished)

    def _failed(self, failure: BaseException, verdict: "Future[Verdict]", spent: float) -> None:
        """Settles a verdict that has no comparison, and counts and logs why."""
        if isinstance(failure, WorkerTimeout):
            with self._counting:
                self.timeouts += 1
            logger.warning("a comparison of two answers was killed: %s", failure)
            verdict.set_result(Verdict(False, "timeout", spent + failure.seconds))
        elif isinstance(failure, WorkerStartError):
            # No comparison would ever work; a verdict would call every answer wrong.
            verdict.set_exception(failure)
        elif isinstance(failure, WorkerError):
            logger.error("a comparison of two answers failed; this is a mistake in the grader: %s", failure)
            verdict.set_result(Verdict(False, "error", spent))
        elif isinstance(failure, WorkerFailure):
            with self._counting:
                self.deaths += 1
            logger.warning("a comparison of two answers lost its worker: %s", failure)
            verdict.set_result(Verdict(False, "worker_died", spent))
        else:
            verdict.set_exception(RuntimeError("the grading pool was closed before this comparison"))

    def grade_batch(self, pairs: Iterable[Pair], policy: GradingPolicy | None = None) -> list[Verdict]:
        """Verdicts of (prediction, gold) pairs, in their order."""
        futures = [self.submit(prediction, gold, policy) for prediction, gold in pairs]
        return [future.result() for future in futures]

    async def grade_async(self, prediction: str | None, gold: str, policy: GradingPolicy | None = None) -> Verdict:
        """One verdict, without blocking the event loop."""
        import asyncio  # who awaits has it loaded; for the others it would be a third of this package's import

        return await asyncio.wrap_future(self.submit(prediction, gold, policy))

    def start(self) -> None:
        """Starts the comparing workers now; does not wait for them."""
        self._compare.start()

    def close(self) -> None:
        """Kills the workers; comparisons that are not finished are cancelled or lose their worker."""
        self._compare.close()
        self._algebra.close()

    def __enter__(self) -> "GradingPool":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


_shared: tuple[int, GradingPool] | None = None
_sharing = threading.Lock()


def shared_pool() -> GradingPool:
    """This process's own pool of one worker, started when it is first needed (anew after a fork)."""
    global _shared
    with _sharing:
        if _shared is None or _shared[0] != os.getpid():
            _shared = (os.getpid(), GradingPool(workers=1))
        return _shared[1]


def grade(prediction: str | None, gold: str, policy: GradingPolicy | None = None) -> Verdict:
    """Whether `prediction` equals `gold` under `policy` (the default policy when None).

    Settled in this process where strings or plain numbers decide, else in the worker of `shared_pool`.
    """
    return shared_pool().submit(prediction, gold, policy).result()


def grade_responses(
    responses: Sequence[str], golds: Sequence[str], policy: GradingPolicy | None = None, pool: GradingPool | None = None
) -> list[Graded]:
    """Extracts each response's answer and grades it against the gold at the same place."""
    pool = pool or shared_pool()
    extracted = [extract_answer(response, policy) for response in responses]
    verdicts = pool.grade_batch(zip(extracted, golds, strict=True), policy)
    return [Graded(verdict, answer) for verdict, answer in zip(verdicts, extracted, strict=True)]
