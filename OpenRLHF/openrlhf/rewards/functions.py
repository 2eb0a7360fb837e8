"""Rewards for responses, in the background: a `reward_func` in a .py file, the built-in grader, or HTTP servers."""

import http.client
import json
import math
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from openrlhf.errors import UserError
from openrlhf.rewards.key import header_of
from openrlhf.rewards.loading import load_reward_function
from openrlhf.rewards.signature import Columns
from openrlhf.utils.console import note
from openrlhf.utils.worker_pool import WorkerFailure, WorkerPool, WorkerStartError

Fields = Mapping[str, Sequence[Any]]
_ASKING_TIMEOUT_S = 60.0  # of a loaded worker, for its signature
HTTP_TIMEOUT_S, HTTP_TRIES, HTTP_PAUSE_S = 180.0, 5, 1.0
_PASSING = (408, 425, 429)  # statuses of a request that may be right the next time


class Rewards(Protocol):
    """`failures` counts the responses that got no reward (time limit, crash); they are never silently zero. `reason` is
    why the last of them got none."""

    failures: int
    reason: str

    def submit(
        self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], fields: Fields | None = None
    ) -> "Future[list[float]]":
        """Starts grading; the result has one value per query, NaN where grading failed.

        queries: prompt + response, special tokens kept, as in OpenRLHF 0.6.2.
        fields: other columns of the queries' rows by name, one value per query; JSON values.

        The result raises `UserError` where the fault is not that of a response: the function does not keep to its form,
        or raises for each of several responses.
        """
        ...

    def check(
        self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], fields: Fields | None = None
    ) -> None:
        """One call before anything expensive. UserError: it brings no rewards, for whatever reason."""
        ...

    def close(self) -> None: ...


def open_rewards(
    sources: Sequence[str], *, workers: int, timeout: float, policy: str = "math", key: str | None = None
) -> Rewards:
    """sources: one .py file, "math" for the built-in grader, or URLs (their rewards are summed).

    timeout: seconds for one call of a `reward_func`, for all responses in it. policy: of the built-in grader, by name
    (`grading.POLICIES`). key: what the servers ask for.
    """
    if all(source.startswith(("http://", "https://")) for source in sources):
        return HttpRewards(sources, key)
    if len(sources) != 1:
        raise UserError(f"only URLs can be summed, got {', '.join(sources)}")
    path = "" if sources[0] == "math" else sources[0]
    return FunctionRewards(path, workers=workers, timeout=timeout, policy=policy)


class FunctionRewards:
    """Calls a `reward_func` in worker processes that are killed when they exceed the time limit.

    A worker says first which columns the function takes, so that no others are sent; the user's file runs in
    workers alone.
    """

    def __init__(self, path: str, *, workers: int, timeout: float, policy: str = "math") -> None:
        self.failures, self.reason = 0, ""
        self._counting = threading.Lock()  # workers report from threads of their own
        self._pool = WorkerPool(load_reward_function, workers, timeout, arguments={"path": path, "policy": policy})
        self._pool.start()
        self._columns = self._pool.submit(None, timeout=_ASKING_TIMEOUT_S)

    def submit(
        self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], fields: Fields | None = None
    ) -> "Future[list[float]]":
        graded: Future[list[float]] = Future()
        self._when_sent(graded, queries, prompts, labels, fields, self._settle)
        return graded

    def check(
        self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], fields: Fields | None = None
    ) -> None:
        checked: Future[list[float]] = Future()

        def settle(graded: "Future[list[float]]", done: "Future[Any]", payload: dict[str, Any]) -> None:
            values, why = _outcome(done)
            error = UserError(f"a first call, before any model is loaded: {why.line}") if why else None
            graded.set_exception(error) if error else graded.set_result(values)

        self._when_sent(checked, queries, prompts, labels, fields, settle)
        checked.result()

    def _when_sent(
        self,
        graded: "Future[list[float]]",
        queries: Sequence[str],
        prompts: Sequence[str],
        labels: Sequence[str],
        fields: Fields | None,
        settle: "Callable[[Future[list[float]], Future[Any], dict[str, Any]], None]",
    ) -> None:
        """Sends what the function takes, once it has said that, and settles `graded` with what it answers."""
        texts = {"queries": list(queries), "prompts": list(prompts), "labels": list(labels)}

        def send(loaded: "Future[Any]") -> None:
            try:
                found = loaded.result()
                if "broken" in found:
                    raise UserError(found["broken"])
                columns = Columns(**found).pick(fields or {})
                payload = {**texts, "fields": {name: list(column) for name, column in columns.items()}}
                self._submit(payload).add_done_callback(lambda done: _guarded(graded, settle, done, payload))
            except WorkerFailure as error:
                graded.set_exception(UserError(f"the reward function cannot be loaded: {_first_line(error)}"))
            except Exception as error:  # what a callback raises reaches nobody
                graded.set_exception(error)

        self._columns.add_done_callback(send)

    def _submit(self, payload: dict[str, Any]) -> "Future[Any]":
        try:
            return self._pool.submit(payload)
        except TypeError as error:
            raise _not_json(payload["fields"]) from error

    def _settle(self, graded: "Future[list[float]]", done: "Future[Any]", payload: dict[str, Any]) -> None:
        values, why = _outcome(done)
        if why is None:
            graded.set_result(values)
        elif len(payload["queries"]) > 1:
            self._one_by_one(graded, payload)  # one bad response must not cost the others their reward
        else:
            self._count(why)
            graded.set_result([math.nan])

    def _one_by_one(self, graded: "Future[list[float]]", payload: dict[str, Any]) -> None:
        count = len(payload["queries"])
        outcomes: dict[int, tuple[list[float], _Reason | None]] = {}
        lock = threading.Lock()

        def place(index: int, done: "Future[Any]") -> None:
            with lock:
                if graded.done():
                    return
                try:
                    outcomes[index] = _outcome(done)
                except Exception as error:
                    graded.set_exception(error)
                    return
                if len(outcomes) == count:
                    self._settle_all(graded, [outcomes[number] for number in range(count)])

        for index in range(count):
            texts = {key: [payload[key][index]] for key in ("queries", "prompts", "labels")}
            alone = {**texts, "fields": {name: [c[index]] for name, c in payload["fields"].items()}}
            self._submit(alone).add_done_callback(partial(place, index))

    def _settle_all(
        self, graded: "Future[list[float]]", outcomes: "Sequence[tuple[list[float], _Reason | None]]"
    ) -> None:
        reasons = [why for _, why in outcomes if why is not None]
        if len(reasons) == len(outcomes) and all(why.traceback for why in reasons):
            graded.set_exception(
                UserError(f"reward_func raises for each of {len(reasons)} responses:\n{reasons[0].traceback}")
            )
            return
        for why in reasons:
            self._count(why)
        graded.set_result([math.nan if why else values[0] for values, why in outcomes])

    def _count(self, why: "_Reason") -> None:
        with self._counting:
            first, self.failures, self.reason = not self.failures, self.failures + 1, why.line
        if first:
            note(f"a response could not be graded, and more may follow: {why.line}")

    def close(self) -> None:
        self._pool.close()


@dataclass(frozen=True)
class _Reason:
    """Why a call brought no rewards. traceback: the function's own, where it raised."""

    line: str
    traceback: str = ""


def _outcome(done: "Future[Any]") -> tuple[list[float], _Reason | None]:
    """Rewards, or why there are none.

    Raises:
        UserError: the function does not keep to its form, whatever the response.
    """
    try:
        found = done.result()
    except WorkerStartError as error:
        raise UserError(f"the reward function cannot be loaded: {_first_line(error)}") from error
    except WorkerFailure as error:
        return [], _Reason(_first_line(error))
    if isinstance(found, list):
        return found, None
    if "broken" in found:
        raise UserError(found["broken"])
    return [], _Reason(f"reward_func raised {found['raised']}", found["traceback"])


def _guarded(
    graded: "Future[list[float]]",
    settle: "Callable[[Future[list[float]], Future[Any], dict[str, Any]], None]",
    done: "Future[Any]",
    payload: dict[str, Any],
) -> None:
    try:
        settle(graded, done, payload)
    except Exception as error:
        graded.set_exception(error)


def _first_line(error: Exception) -> str:
    """Of a failure, and the last line of the traceback that it may hold."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else f"{lines[0].rstrip(':')}: {lines[-1].strip()}"


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

    def __init__(self, urls: Sequence[str], key: str | None = None) -> None:
        self._key = key
        self.failures, self.reason = 0, "the server answered NaN"
        self._urls = list(urls)
        self._threads = ThreadPoolExecutor(max_workers=4)

    def submit(
        self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], fields: Fields | None = None
    ) -> "Future[list[float]]":
        """`fields` stay here: 0.6.2's body has no place for them."""
        body = {"query": list(queries), "prompts": list(prompts), "labels": list(labels)}
        return self._threads.submit(self._ask_all, body)

    def check(
        self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], fields: Fields | None = None
    ) -> None:
        self.submit(queries, prompts, labels, fields).result()
        self.failures = 0

    def _ask_all(self, body: dict[str, list[str]]) -> list[float]:
        answers = [ask_reward_server(url, body, self._key) for url in self._urls]
        rewards = [sum(values) for values in zip(*answers, strict=True)]
        self.failures += sum(math.isnan(reward) for reward in rewards)
        return rewards

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def ask_reward_server(url: str, body: dict[str, list[str]], key: str | None = None) -> list[float]:
    """One reward per query. key: sent along where there is one.

    Raises:
        UserError: after five tries, with the last reason; at once where the server says that the request itself is
        wrong, since asking again would change nothing.
    """
    request = urllib.request.Request(
        url,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **({"Authorization": header_of(key)} if key else {})},
        method="POST",
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
