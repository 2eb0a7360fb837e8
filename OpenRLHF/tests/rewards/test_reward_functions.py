"""Rewards from files, from the built-in grader and from servers; what hangs or crashes is counted, never zero."""

import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from openrlhf.errors import UserError
from openrlhf.rewards import functions
from openrlhf.rewards.functions import open_rewards

REWARD = """
import os, time

def reward_func(queries, prompts, labels):
    if "hang" in queries:
        time.sleep(60)
    if "crash" in queries:
        os._exit(1)
    return [float(len(query)) for query in queries]
"""


def test_a_file_gives_one_reward_per_query_in_order(tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text(REWARD)
    rewards = open_rewards([str(tmp_path / "reward.py")], workers=2, timeout=30)
    try:
        results = [rewards.submit(["a" * n, "b"], ["", ""], ["", ""]) for n in range(5)]
        assert [result.result(60) for result in results] == [[float(n), 1.0] for n in range(5)]
    finally:
        rewards.close()


def test_what_hangs_or_crashes_costs_only_its_own_reward(tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text(REWARD)
    rewards = open_rewards([str(tmp_path / "reward.py")], workers=2, timeout=2)
    try:
        first, hung, crashed, last = rewards.submit(["ok", "hang", "crash", "fine"], [""] * 4, [""] * 4).result(90)
        assert (first, last) == (2.0, 4.0)
        assert math.isnan(hung)
        assert math.isnan(crashed)
        assert rewards.failures == 2
    finally:
        rewards.close()


def test_a_file_without_reward_func_is_refused(tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text("def reward(queries): return []\n")
    rewards = open_rewards([str(tmp_path / "reward.py")], workers=1, timeout=30)
    try:
        with pytest.raises(UserError, match="reward_func"):
            rewards.submit(["a"], [""], [""]).result(60)
    finally:
        rewards.close()


def test_the_built_in_grader_grades_word_problems_by_their_last_number_when_asked_to() -> None:
    queries = ["How many? He has 3 boxes of 4, so 12 apples and then some", "How many? It is 13"]
    found = {}
    for policy in ("math", "word_problem"):
        rewards = open_rewards(["math"], workers=1, timeout=30.0, policy=policy)
        found[policy] = rewards.submit(queries, ["How many?"] * 2, ["12", "12"]).result()
        rewards.close()
    assert found == {"math": [0.0, 0.0], "word_problem": [1.0, 0.0]}


def test_the_built_in_grader_reads_the_response_only() -> None:
    rewards = open_rewards(["math"], workers=1, timeout=30)
    try:
        queries = [
            r"Is it \boxed{4}? No idea.<|endoftext|>",
            r"Is it \boxed{4}? It is \boxed{\frac{8}{2}}.<|endoftext|>",
        ]
        assert rewards.submit(queries, [r"Is it \boxed{4}?"] * 2, ["4", "4"]).result(60) == [0.0, 1.0]
    finally:
        rewards.close()


class Server(BaseHTTPRequestHandler):
    failures_left = 0
    failure: int | str = 503  # a status, or how to answer wrongly
    bodies: list[dict] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Server.bodies.append(body)
        if Server.failures_left:
            Server.failures_left -= 1
            self.fail()
            return
        answer = json.dumps({"rewards": [float(len(query)) for query in body["query"]]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def fail(self) -> None:
        if isinstance(Server.failure, int):
            self.send_response(Server.failure)
            self.end_headers()
            self.wfile.write(b'{"error": "the reason"}')
        elif Server.failure == "cut off":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b'{"rewards": [')
        elif Server.failure == "no HTTP":
            self.wfile.write(b"hello\r\n")
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(Server.failure.encode())

    def log_message(self, *arguments: object) -> None:
        """Keeps the test's output clean."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(functions, "HTTP_PAUSE_S", 0.01)
    Server.failures_left, Server.failure, Server.bodies = 0, 503, []
    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_servers_are_asked_as_in_0_6_2_and_their_rewards_are_summed(url: str) -> None:
    rewards = open_rewards([url, url], workers=1, timeout=30)
    assert rewards.submit(["ab", "c"], ["a", ""], ["x", ""]).result(30) == [4.0, 2.0]
    assert Server.bodies[0] == {"query": ["ab", "c"], "prompts": ["a", ""], "labels": ["x", ""]}


def test_a_server_gets_five_tries(url: str) -> None:
    rewards = open_rewards([url], workers=1, timeout=30)
    Server.failures_left = 4
    assert rewards.submit(["ab"], [""], [""]).result(30) == [2.0]
    Server.failures_left = 5
    with pytest.raises(UserError, match="5 tries"):
        rewards.submit(["ab"], [""], [""]).result(30)


@pytest.mark.parametrize(
    "failure", ["cut off", "no HTTP", '{"rewards": [1.0, 2.0]}', '{"reward": [1.0]}', '{"rewards": [null]}', "[", 429]
)
def test_an_answer_that_cannot_be_used_is_asked_for_again(url: str, failure: int | str) -> None:
    Server.failures_left, Server.failure = 1, failure
    assert open_rewards([url], workers=1, timeout=30).submit(["ab"], [""], [""]).result(30) == [2.0]
    assert len(Server.bodies) == 2


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_request_that_the_server_refuses_is_not_repeated_and_its_reason_is_told(url: str, status: int) -> None:
    Server.failures_left, Server.failure = 1, status
    with pytest.raises(UserError, match=f"refuses the request: status {status}: .*the reason"):
        open_rewards([url], workers=1, timeout=30).submit(["ab"], [""], [""]).result(30)
    assert len(Server.bodies) == 1


def test_a_reward_that_is_no_number_counts_as_failed(url: str) -> None:
    rewards = open_rewards([url, url], workers=1, timeout=30)
    Server.failures_left, Server.failure = 1, '{"rewards": [1.0, NaN]}'
    first, second = rewards.submit(["ab", "c"], ["", ""], ["", ""]).result(30)
    assert (first, math.isnan(second), rewards.failures) == (3.0, True, 1)
