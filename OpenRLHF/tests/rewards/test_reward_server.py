"""The HTTP contract of a reward server, over a scorer whose rewards are lengths; every refusal says why."""

import contextlib
import http.client
import json
import socket
import threading
import time

import pytest
import uvicorn

from openrlhf.errors import UserError
from openrlhf.rewards import server
from openrlhf.rewards.scoring_queue import ScoringQueue
from openrlhf.rewards.server import RewardService

MAX_BYTES = 1000


class Model:
    """Texts become one token per letter; more than five lose their beginning. Scores only while `open` is set."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.scored = 0

    def encode(self, texts):
        if "" in texts:
            raise UserError(f"query {texts.index('')} is empty")
        return [[ord(letter) for letter in text[-5:]] for text in texts], sum(len(text) > 5 for text in texts)

    def score(self, rows):
        assert self.open.wait(30)
        if any(row == [ord("!")] for row in rows):
            raise MemoryError
        self.scored += len(rows)
        return [float("nan") if row == [ord("?")] else float(len(row)) for row in rows]


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def address(model):
    queue = ScoringQueue([model], workers=1, batch_size=2)
    app = RewardService(model, queue, max_requests=3, max_bytes=MAX_BYTES).app()
    runner = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield listener.getsockname()
        model.open.set()
        runner.should_exit = True
        thread.join(20)
    queue.close()


def ask(address, body, method="POST", path="/get_reward"):
    """Status and JSON of the answer."""
    connection = http.client.HTTPConnection(*address, timeout=30)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, data)
    answer = connection.getresponse()
    assert answer.headers["content-type"] == "application/json"
    with contextlib.closing(connection):
        return answer.status, json.loads(answer.read())


def later(address, body):
    """A thread that asks, and where its answer will be."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(ask(address, body)), daemon=True)
    thread.start()
    return thread, answers


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def health(address):
    status, figures = ask(address, b"", "GET", "/health")
    assert status == 200
    return figures


def test_each_query_gets_its_reward_with_or_without_prompts_and_labels(address):
    assert ask(address, {"query": ["abc", "a"]}) == (200, {"rewards": [3.0, 1.0]})
    assert ask(address, {"query": ["ab"], "prompts": ["a"], "labels": [""]}) == (200, {"rewards": [2.0]})
    assert ask(address, {"query": ["é€"], "prompts": None}) == (200, {"rewards": [2.0]})
    assert ask(address, {"query": []}) == (200, {"rewards": []})


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "the body is not JSON"),
        (b"", 400, "the body is not JSON"),
        (b"\xff\xfe\xfa", 400, "not UTF-8"),
        (b"[" * 990, 400, "the body"),
        (b'{"query": ' + b"9" * 900 + b"}", 422, "found a number"),
        ([1], 422, "expected an object"),
        ({"queries": ["a"]}, 422, "\"query\" is missing: it lists the texts to score; found 'queries'"),
        ({"query": "abc"}, 422, "must be a list of texts, found a text"),
        ({"query": ["a", 3]}, 422, "number 1 is a number"),
        ({"query": ["a", None]}, 422, "number 1 is null"),
        ({"query": ["a", ""]}, 422, "query 1 is empty"),
        (b'{"query": ["a", "\\ud800"]}', 422, "number 1 holds half of a surrogate pair"),
        ({"query": ["a", "b"], "labels": ["x"]}, 422, '"labels" has 1 entries for 2 queries'),
        ({"query": ["a"], "prompts": "x"}, 422, '"prompts" must be a list, found a text'),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong_with_it(address, body, status, said):
    answer = ask(address, body)
    assert answer[0] == status
    assert said in answer[1]["error"]
    assert health(address)["requests"] == 0


def test_a_request_that_is_too_large_is_told_the_limit(address):
    assert ask(address, {"query": ["a" * 5000]}) == (
        413,
        {
            "error": "the request is larger than 1000 bytes: send fewer queries at once, or raise the server's"
            " --max_request_mb"
        },
    )
    assert ask(address, {"query": ["a"]})[0] == 200


def test_a_body_that_lies_about_its_length_or_has_none_is_limited_too(address):
    connection = http.client.HTTPConnection(*address, timeout=30)
    connection.request("POST", "/get_reward", iter([b"a" * 600] * 3), encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_that_does_not_arrive_is_given_up(address, monkeypatch):
    monkeypatch.setattr(server, "BODY_TIMEOUT_S", 0.2)
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(b"POST /get_reward HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/get_reward", 405), ("POST", "/", 404)])
def test_other_paths_and_methods_are_refused_in_json(address, method, path, status):
    answer = ask(address, b"", method, path)
    assert answer[0] == status
    assert answer[1]["error"]


def test_more_requests_than_allowed_are_told_to_come_back(address, model):
    model.open.clear()
    waiting = [later(address, {"query": ["a" * n]}) for n in (1, 2, 3)]
    wait_for(lambda: health(address)["requests"] == 3)
    status, answer = ask(address, {"query": ["a"]})
    assert (status, answer) == (503, {"error": "3 requests are being worked on: ask again later"})
    model.open.set()
    for thread, _ in waiting:
        thread.join(20)
    assert [answers for _, answers in waiting] == [[(200, {"rewards": [float(n)]})] for n in (1, 2, 3)]
    assert ask(address, {"query": ["a"]})[0] == 200


def test_queries_of_a_client_that_hung_up_are_not_scored(address, model):
    model.open.clear()
    thread, first = later(address, {"query": ["a"]})
    wait_for(lambda: health(address)["requests"] == 1)
    body = json.dumps({"query": ["b"] * 6}).encode()
    with socket.create_connection(address) as connection:
        connection.sendall(b"POST /get_reward HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        wait_for(lambda: health(address)["queries_waiting"] == 6)
    wait_for(lambda: health(address)["requests"] == 1)
    model.open.set()
    thread.join(20)
    assert first == [(200, {"rewards": [1.0]})]
    assert ask(address, {"query": ["c"]})[0] == 200
    assert model.scored == 2


def test_queries_that_lost_their_beginning_are_counted(address):
    ask(address, {"query": ["a" * 9, "a" * 5, "b" * 6]})
    figures = health(address)
    assert (figures["queries_cut"], figures["queries_scored"], figures["status"]) == (2, 3, "ok")


def test_a_failure_while_scoring_is_a_500_without_a_traceback_and_the_server_goes_on(address):
    status, answer = ask(address, {"query": ["!"]})
    assert status == 500
    assert answer["error"].startswith("scoring failed (MemoryError); the server is out of memory")
    assert ask(address, {"query": ["?"]}) == (500, {"error": "the reward model gives query 0 the reward nan"})
    assert ask(address, {"query": ["a"]})[0] == 200
