"""A reward server that others can reach asks for a key."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
import uvicorn

from openrlhf.errors import UserError
from openrlhf.rewards.functions import ask_reward_server, open_rewards
from openrlhf.rewards.key import is_allowed, read_key
from openrlhf.rewards.server import RewardService

KEY = "k" * 32


class Lengths:
    waiting = 0

    def encode(self, texts: list[str]) -> tuple[list[list[int]], int]:
        return [[0] * len(text) for text in texts], 0

    def submit(self, rows: list[list[int]]) -> "Future[list[float]]":
        scored: Future[list[float]] = Future()
        scored.set_result([float(len(row)) for row in rows])
        return scored


@pytest.fixture
def url() -> Iterator[str]:
    app = RewardService(Lengths(), Lengths(), max_requests=3, max_bytes=1000, key=KEY).app()
    runner = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/get_reward"
        runner.should_exit = True
        thread.join(20)


def test_with_the_key_it_answers_and_without_it_says_what_is_missing(url: str) -> None:
    body = {"query": ["abc"], "prompts": [""], "labels": [""]}
    assert ask_reward_server(url, body, KEY) == [3.0]
    for wrong in (None, "x" * 32, KEY[:-1]):
        with pytest.raises(UserError, match=r"refuses the request: status 401: .*asks for the key"):
            ask_reward_server(url, body, wrong)
    rewards = open_rewards([url], workers=1, timeout=30, key=KEY)
    rewards.check(["ab"], [""], [""])
    assert rewards.submit(["ab"], [""], [""]).result(30) == [2.0]
    rewards.close()


@pytest.mark.parametrize("given", [None, "", KEY, "Bearer", f"bearer {KEY}", f"Bearer {KEY} ", "Bearer ü"])
def test_only_the_whole_header_counts(given: str | None) -> None:
    assert not is_allowed(given, KEY)
    assert is_allowed(given, None)
    assert is_allowed(f"Bearer {KEY}", KEY)


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (KEY, 0o644, "can be read by others: chmod 600"),
        (KEY, 0o640, "can be read by others"),
        ("short", 0o600, "at least 16 ASCII characters"),
        ("", 0o600, "at least 16 ASCII characters"),
        ("ü" * 32, 0o600, "at least 16 ASCII characters"),
    ],
)
def test_a_key_file_is_private_and_holds_a_key(tmp_path: Path, text: str, mode: int, said: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(UserError, match=said):
        read_key(str(file))
    file.write_text(f"{KEY}\nsecond line\n")
    file.chmod(0o600)
    assert read_key(str(file)) == KEY
    with pytest.raises(UserError, match="cannot be read"):
        read_key(str(tmp_path / "none"))
