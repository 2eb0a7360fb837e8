"""Rewards for responses, in the background: a `reward_func` in a .py file, the built-in grader, or HTTP servers."""

import http.client
import json
import math
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from openrlhf.errors import UserError
from openrlhf.utils.worker_pool import WorkerFailure, WorkerPool, WorkerStartError

HTTP_TIMEOUT_S, HTTP_TRIES, HTTP_PAUSE_S = 180.0, 5, 1.0
_PASSING = (408, 425, 429)  # statuses of a request that may be right the next time


class Rewards(Protocol):
    """`failures` counts the responses that got no reward (time limit, crash); they are never silently zero."""

    failures: int

    def submit(self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> "Future[list[float]]":
        """Starts grading; the result has one value per query, NaN where grading failed.

        queries: prompt + response, special tokens kept, as in OpenRLHF 0.6.2.
        """
        ...

    def close(self) -> None: ...


def open_rewards(sources: Sequence[str], *, workers: int, timeout: float) -> Rewards:
    """sources: one .py file, "math" for the built-in grader, or URLs (their rewards are summed).

    timeout: seconds for one call of a `reward_func`.
    """
    if all(source.startswith(("http://", "https://")) for source in sources):
        return HttpRewards(sources)
    if len(sources) != 1:
        raise UserError(f"only URLs can be summed, got {', '.join(sources)}")
    path = "" if sources[0] == "math" else sources[0]
    return FunctionRewards(path, workers=workers, timeout=timeout)


def load_reward_function(path: str = "") -> Any:
    """Run inside a worker: returns what maps a payload of queries, prompts and labels to a list of rewards."""
    function = _function_in(path) if path else _built_in()

    def rewards_of(payload: dict[str, list[str]]) -> list[float]:
        values = function(payload["queries"], payload["prompts"], payload["labels"])
        values = [float(value) for value in getattr(values, "tolist", lambda: values)()]
        if len(values) != len(payload["queries"]):
            raise UserError(f"reward_func returned {len(values)} values for {len(payload['queries'])} queries")
        return values

    return rewards_of


def _function_in(path: str) -> Callable[..., Any]:
    import importlib.util

    spec = importlib.util.spec_from_file_location("user_reward", path)
    if spec is None or spec.loader is None:
        raise UserError(f"--remote_rm_url {path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, "reward_func", None)):
        raise UserError(f"--remote_rm_url {path}: the file defines no reward_func(queries, prompts, labels)")
    return module.reward_func


def _built_in() -> Callable[..., Any]:
    from openrlhf.rewards.correctness import correctness_reward

    return correctness_reward


class FunctionRewards:
    """Calls a `reward_func` in worker processes that are killed when they exceed the time limit."""

    def __init__(self, path: str, *, workers: int, timeout: float) -> None:
        self.failures = 0
        self._pool = WorkerPool(load_reward_function, workers, timeout, arguments={"path": path})
        self._pool.start()

    def submit(self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> "Future[list[float]]":
        payload = {"queries": list(queries), "prompts": list(prompts), "labels": list(labels)}
        graded: Future[list[float]] = Future()
        self._pool.submit(payload).add_done_callback(lambda done: self._settle(graded, done, payload))
        return graded

    def _settle(self, graded: "Future[list[float]]", done: "Future[Any]", payload: dict[str, list[str]]) -> None:
        error = done.exception()
        if error is None:
            graded.set_result(done.result())
        elif isinstance(error, WorkerStartError):
            graded.set_exception(UserError(f"the reward function cannot be loaded: {error}"))
        elif not isinstance(error, WorkerFailure):
            graded.set_exception(error)
        elif len(payload["queries"]) > 1:
            self._one_by_one(graded, payload)  # one bad response must not cost the others their reward
        else:
            if not self.failures:
                print(
                    f"note: a response could not be graded, and more may follow: {error}", file=sys.stderr, flush=True
                )
            self.failures += 1
            graded.set_result([float("nan")])

    def _one_by_one(self, graded: "Future[list[float]]", payload: dict[str, list[str]]) -> None:
        count = len(payload["queries"])
        values: list[float | None] = [None] * count
        lock = threading.Lock()  # workers report from threads of their own

        def place(index: int, done: "Future[list[float]]") -> None:
            with lock:
                if graded.done():
                    return
                if error := done.exception():
                    graded.set_exception(error)
                    return
                values[index] = done.result()[0]
                if None not in values:
                    graded.set_result([value for value in values if value is not None])

        for index in range(count):
            single = self.submit(*([payload[key][index]] for key in ("queries", "prompts", "labels")))
            single.add_done_callback(partial(place, index))

    def close(self) -> None:
        self._pool.close()


class HttpRewards:
    """Asks reward servers (COMPAT: POST {"query", "prompts", "labels"}, answer {"rewards"}) and sums their values."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.failures = 0
        self._urls = list(urls)
        self._threads = ThreadPoolExecutor(max_workers=4)

    def submit(self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> "Future[list[float]]":
        body = {"query": list(queries), "prompts": list(prompts), "labels": list(labels)}
        return self._threads.submit(self._ask_all, body)

    def _ask_all(self, body: dict[str, list[str]]) -> list[float]:
        answers = [ask_reward_server(url, body) for url in self._urls]
        rewards = [sum(values) for values in zip(*answers, strict=True)]
        self.failures += sum(math.isnan(reward) for reward in rewards)
        return rewards

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def ask_reward_server(url: str, body: dict[str, list[str]]) -> list[float]:
    """One reward per query.

    Raises:
        UserError: after five tries, with the last reason; at once where the server says that the request itself is
        wrong, since asking again would change nothing.
    """
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    reason: Exception | None = None
    for attempt in range(HTTP_TRIES):
        if attempt:
            time.sleep(HTTP_PAUSE_S)
        try:
            with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S) as response:
                rewards = [float(value) for value in json.load(response)["rewards"]]
            if len(rewards) == len(body["query"]):
                return rewards
            reason = ValueError(f"{len(rewards)} rewards for {len(body['query'])} queries")
        except urllib.error.HTTPError as error:
            reason = RuntimeError(f"status {error.code}: {_said(error)}")
            if 400 <= error.code < 500 and error.code not in _PASSING:
                raise UserError(f"the reward server {url} refuses the request: {reason}") from error
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            reason = error
    raise UserError(f"the reward server {url} gave no usable answer in {HTTP_TRIES} tries: {reason!r}") from reason


def _said(error: urllib.error.HTTPError) -> str:
    """The beginning of what the server says about its refusal."""
    try:
        return error.read(1000).decode("utf-8", errors="replace").strip() or error.reason
    except (OSError, http.client.HTTPException):
        return error.reason
