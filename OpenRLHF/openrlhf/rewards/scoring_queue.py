"""Scoring for several clients at once: rows wait in line, worker threads take them in batches."""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol


class Scorer(Protocol):
    def score(self, rows: Sequence[Sequence[int]]) -> list[float]: ...


class Job:
    """The rows of one request. `future` gives its rewards in order, or raises what the scorer raised; cancelling it
    takes the rows that still wait out of line."""

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        self.rows = rows
        self.future: Future[list[float]] = Future()
        self.rewards = [0.0] * len(rows)
        self.open = len(rows)


class ScoringQueue:
    """First come, first served, by `workers` threads; worker i uses scorer i modulo their number.

    batch_size: rows that are scored at once, of as many requests as it takes; None scores each request's rows together.
    """

    def __init__(self, scorers: Sequence[Scorer], *, workers: int, batch_size: int | None) -> None:
        self._batch_size = batch_size
        self._line: deque[tuple[Job, int]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, args=(scorers[i % len(scorers)],), name=f"scorer-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Rows in line."""
        return len(self._line)

    def submit(self, rows: Sequence[Sequence[int]]) -> "Future[list[float]]":
        job = Job(rows)
        if not rows:
            job.future.set_result([])
            return job.future
        with self._changed:
            if self._closed:
                raise RuntimeError("the scoring queue is closed")
            self._line.extend((job, index) for index in range(len(rows)))
            self._changed.notify_all()
        return job.future

    def close(self) -> None:
        """Waits until everything in line is scored."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self, scorer: Scorer) -> None:
        while batch := self._take():
            try:
                rewards = scorer.score([job.rows[index] for job, index in batch])
            except Exception as error:  # belongs to the requests; the worker goes on with the next ones
                self._fail(batch, error)
            else:
                self._settle(batch, rewards)

    def _take(self) -> list[tuple[Job, int]]:
        """The next batch; empty when the queue is closed and nothing is left."""
        with self._changed:
            while True:
                batch: list[tuple[Job, int]] = []
                while self._line and self._fits(batch):
                    job, index = self._line.popleft()
                    if not job.future.done():
                        batch.append((job, index))
                if batch or self._closed:
                    return batch
                self._changed.wait()

    def _fits(self, batch: Sequence[tuple[Job, int]]) -> bool:
        if self._batch_size is None:
            return not batch or self._line[0][0] is batch[0][0]
        return len(batch) < self._batch_size

    def _settle(self, batch: Sequence[tuple[Job, int]], rewards: Sequence[float]) -> None:
        with self._changed:
            for (job, index), reward in zip(batch, rewards, strict=True):
                job.rewards[index] = reward
                job.open -= 1
                # False where the client has given up, or another batch of the request failed.
                if not job.open and not job.future.done() and job.future.set_running_or_notify_cancel():
                    job.future.set_result(job.rewards)

    def _fail(self, batch: Sequence[tuple[Job, int]], error: Exception) -> None:
        with self._changed:
            for job, _ in batch:
                if not job.future.done() and job.future.set_running_or_notify_cancel():
                    job.future.set_exception(error)
