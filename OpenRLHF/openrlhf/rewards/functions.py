"""Rewards for responses, in the background: a `reward_func` in a .py file, the built-in grader, or HTTP servers."""

import http.client
import json
import math
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any, Protocol

from openrlhf.errors import UserError
from openrlhf.rewards.signature import FORM, Columns, columns_of
from openrlhf.utils.worker_pool import WorkerFailure, WorkerPool, WorkerStartError

Fields = Mapping[str, Sequence[Any]]
_ASKING_TIMEOUT_S = 60.0  # of a loaded worker, for its signature
HTTP_TIMEOUT_S, HTTP_TRIES, HTTP_PAUSE_S = 180.0, 5, 1.0
_PASSING = (408, 425, 429)  # statuses of a request that may be right the next time


class Rewards(Protocol):
    """`failures` counts the responses that got no reward (time limit, crash); they are never silently zero."""

    failures: int

    def submit(
        self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], fields: Fields | None = None
    ) -> "Future[list[float]]":
        """Starts grading; the result has one value per query, NaN where grading failed.

        queries: prompt + response, special tokens kept, as in OpenRLHF 0.6.2.
        fields: other columns of the queries' rows by name, one value per query; JSON values.
        """
        ...

    def close(self) -> None: ...


def open_rewards(sources: Sequence[str], *, workers: int, timeout: float, policy: str = "math") -> Rewards:
    """sources: one .py file, "math" for the built-in grader, or URLs (their rewards are summed).

    timeout: seconds for one call of a `reward_func`. policy: of the built-in grader, by name (`grading.POLICIES`).
    """
    if all(source.startswith(("http://", "https://")) for source in sources):
        return HttpRewards(sources)
    if len(sources) != 1:
        raise UserError(f"only URLs can be summed, got {', '.join(sources)}")
    path = "" if sources[0] == "math" else sources[0]
    return FunctionRewards(path, workers=workers, timeout=timeout, policy=policy)


def load_reward_function(path: str = "", policy: str = "math") -> Any:
    """Run inside a worker: returns what maps a payload of queries, prompts, labels and fields to a list of rewards.

    Asked with None, it answers with the function's `Columns`, as a dictionary.
    """
    function = _function_in(path) if path else _built_in(policy)
    columns = asdict(columns_of(function) if path else Columns())

    def rewards_of(payload: dict[str, Any] | None) -> Any:
        if payload is None:
            return columns
        values = function(payload["queries"], payload["prompts"], payload["labels"], **payload["fields"])
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
        raise UserError(f"--remote_rm_url {path}: the file defines no {FORM}")
    return module.reward_func


def _built_in(policy: str) -> Callable[..., Any]:
    from openrlhf.rewards.correctness import correctness_reward

    return partial(correctness_reward, policy=policy)


class FunctionRewards:
    """Calls a `reward_func` in worker processes that are killed when they exceed the time limit.

    A worker says first which columns the function takes, so that no others are sent; the user's file runs in
    workers alone.
    """

    def __init__(self, path: str, *, workers: int, timeout: float, policy: str = "math") -> None:
        self.failures = 0
        self._pool = WorkerPool(load_reward_function, workers, timeout, arguments={"path": path, "policy": policy})
        self._pool.start()
        self._columns = self._pool.submit(None, timeout=_ASKING_TIMEOUT_S)

    def submit(
        self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], fields: Fields | None = None
    ) -> "Future[list[float]]":
        texts = {"queries": list(queries), "prompts": list(prompts), "labels": list(labels)}
        graded: Future[list[float]] = Future()

        def send(loaded: "Future[Any]") -> None:
            try:
                columns = Columns(**loaded.result()).pick(fields or {})
                self._send(graded, {**texts, "fields": {name: list(column) for name, column in columns.items()}})
            except WorkerFailure as error:
                graded.set_exception(UserError(f"the reward function cannot be loaded: {error}"))
            except Exception as error:  # what a callback raises reaches nobody
                graded.set_exception(error)

        self._columns.add_done_callback(send)
        return graded

    def _send(self, graded: "Future[list[float]]", payload: dict[str, Any]) -> None:
        try:
            job = self._pool.submit(payload)
        except TypeError as error:
            raise _not_json(payload["fields"]) from error
        job.add_done_callback(lambda done: self._settle(graded, done, payload))

    def _settle(self, graded: "Future[list[float]]", done: "Future[Any]", payload: dict[str, Any]) -> None:
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

    def _one_by_one(self, graded: "Future[list[float]]", payload: dict[str, Any]) -> None:
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
            single: Future[list[float]] = Future()
            single.add_done_callback(partial(place, index))
            texts = {key: [payload[key][index]] for key in ("queries", "prompts", "labels")}
            self._send(single, {**texts, "fields": {name: [c[index]] for name, c in payload["fields"].items()}})

    def close(self) -> None:
        self._pool.close()


def _not_json(fields: Fields) -> UserError:
    """Names the column that cannot be sent."""
    for name, column in fields.items():
        for value in column:
            try:
                json.dumps(value)
            except TypeError as error:
                return UserError(
                    f"column {name!r} cannot be given to reward_func: {error}. Store it as text or numbers, leave it"
                    " out of the data, or name the columns that reward_func needs instead of taking **fields"
                )
    return UserError("reward_func is given JSON values only, and queries, prompts or labels are none")


class HttpRewards:
    """Asks reward servers (0.6.2's POST {"query", "prompts", "labels"}, answer {"rewards"}) and sums their values."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.failures = 0
        self._urls = list(urls)
        self._threads = ThreadPoolExecutor(max_workers=4)

    def submit(
        self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], fields: Fields | None = None
    ) -> "Future[list[float]]":
        """`fields` stay here: 0.6.2's body has no place for them."""
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
