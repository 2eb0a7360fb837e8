"""The HTTP side of a reward model: POST /get_reward and GET /health, JSON in and out."""

import asyncio
import json
import math
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openrlhf.errors import UserError
from openrlhf.rewards.key import is_allowed

BODY_TIMEOUT_S = 60.0
# A body that is refused is still read, and thrown away, up to so many times the limit: a client that is cut off in the
# middle of sending sees a broken connection instead of the reason.
_READ_TO_SAY_NO = 4
_GIVEN_UP = 499  # nobody reads it; it stands in the log


class Encoder(Protocol):
    def encode(self, texts: Sequence[str]) -> tuple[list[list[int]], int]: ...


class Line(Protocol):
    @property
    def waiting(self) -> int: ...

    def submit(self, rows: Sequence[Sequence[int]]) -> "Future[list[float]]": ...


class RewardService:
    """Answers requests; see `docs/commands.md` for the contract.

    max_requests: requests that are read, wait or are scored at the same time; further ones get 503.
    max_bytes: size of a request's body; a larger one gets 413. key: what every request must bring, else it gets 401.
    """

    def __init__(
        self, encoder: Encoder, line: Line, *, max_requests: int, max_bytes: int, key: str | None = None
    ) -> None:
        self._encoder = encoder
        self._line = line
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._key = key
        self._requests = 0
        self._scored = 0
        self._cut = 0

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/get_reward", self.get_reward, methods=["POST"]),
                Route("/health", self.health, methods=["GET"]),
            ],
            exception_handlers={HTTPException: _refusal, Exception: _failure},
        )

    def _admit(self, request: Request) -> None:
        if not is_allowed(request.headers.get("authorization"), self._key):
            raise HTTPException(
                401, "this server asks for the key of its --api_key_file", {"WWW-Authenticate": "Bearer"}
            )

    async def health(self, request: Request) -> Response:
        self._admit(request)
        return JSONResponse(
            {
                "status": "ok",
                "requests": self._requests,
                "queries_waiting": self._line.waiting,
                "queries_scored": self._scored,
                "queries_cut": self._cut,
            }
        )

    async def get_reward(self, request: Request) -> Response:
        self._admit(request)
        if self._requests >= self._max_requests:
            raise HTTPException(
                503, f"{self._requests} requests are being worked on: ask again later", {"Retry-After": "1"}
            )
        self._requests += 1
        try:
            queries = read_queries(await self._body(request))
            return await self._answer(request, queries)
        except ClientDisconnect:
            return Response(status_code=_GIVEN_UP)
        finally:
            self._requests -= 1

    async def _answer(self, request: Request, queries: list[str]) -> Response:
        try:
            rows, cut = await asyncio.to_thread(self._encoder.encode, queries)
        except UserError as error:
            raise HTTPException(422, str(error)) from None
        if cut:
            self._cut += cut
            print(
                f"note: {cut} of {len(queries)} queries were longer than --max_len and lost their beginning"
                f" ({self._cut} so far)",
                flush=True,
            )
        rewards = await self._rewards(request, rows)
        self._scored += len(rewards)
        wrong = next((number for number, reward in enumerate(rewards) if not math.isfinite(reward)), None)
        if wrong is not None:
            raise HTTPException(500, f"the reward model gives query {wrong} the reward {rewards[wrong]}")
        return JSONResponse({"rewards": rewards})

    async def _rewards(self, request: Request, rows: Sequence[Sequence[int]]) -> list[float]:
        """Waits for the rewards as long as the client does."""
        scoring = self._line.submit(rows)
        finished = asyncio.wrap_future(scoring)
        try:
            while not finished.done():
                await asyncio.wait({finished}, timeout=1.0)
                if not finished.done() and await request.is_disconnected():
                    raise ClientDisconnect
            return finished.result()
        finally:
            scoring.cancel()

    async def _body(self, request: Request) -> bytes:
        try:
            return await asyncio.wait_for(self._read(request), BODY_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise HTTPException(408, f"the request did not arrive within {BODY_TIMEOUT_S:g} s") from None

    async def _read(self, request: Request) -> bytes:
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size <= self._max_bytes:
                parts.append(part)
            else:
                parts.clear()
            if size > self._max_bytes * _READ_TO_SAY_NO:
                break
        if size > self._max_bytes:
            raise HTTPException(
                413,
                f"the request is larger than {self._max_bytes} bytes: send fewer queries at once, or raise the server's"
                " --max_request_mb",
            )
        return b"".join(parts)


def read_queries(body: bytes) -> list[str]:
    """The texts to score. HTTPException that says what is wrong: 400 for no JSON, 422 for JSON of another form."""
    try:
        data = json.loads(body)
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"the body is not UTF-8 (byte {error.start})") from None
    except ValueError as error:  # JSONDecodeError, or a number of thousands of digits
        raise HTTPException(400, f"the body is not JSON: {error}") from None
    except RecursionError:
        raise HTTPException(400, "the body's JSON is nested too deeply") from None
    if not isinstance(data, dict):
        raise HTTPException(422, f'expected an object {{"query": [texts]}}, found {_kind(data)}')
    if "query" not in data:
        found = ", ".join(map(repr, data)) or "nothing"
        raise HTTPException(422, f'the field "query" is missing: it lists the texts to score; found {found[:200]}')
    queries = data["query"]
    if not isinstance(queries, list):
        raise HTTPException(422, f'"query" must be a list of texts, found {_kind(queries)}')
    for number, query in enumerate(queries):
        if not isinstance(query, str):
            raise HTTPException(422, f'"query" must hold texts; number {number} is {_kind(query)}')
        if not query.isascii() and any("\ud800" <= letter <= "\udfff" for letter in query):
            raise HTTPException(422, f'"query" number {number} holds half of a surrogate pair, which is no character')
    for name in ("prompts", "labels"):
        beside = data.get(name)
        if beside is None:
            continue
        if not isinstance(beside, list):
            raise HTTPException(422, f'"{name}" must be a list, found {_kind(beside)}')
        if len(beside) != len(queries):
            raise HTTPException(422, f'"{name}" has {len(beside)} entries for {len(queries)} queries')
    return queries


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return "null" if value is None else kinds.get(type(value), "a number")


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _failure(request: Request, error: Exception) -> Response:
    """The traceback goes to the server's log, not to the client."""
    hint = "; the server is out of memory: start it with a smaller --batch_size" if _is_memory(error) else ""
    return JSONResponse({"error": f"scoring failed ({type(error).__name__}){hint}"}, 500)


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
