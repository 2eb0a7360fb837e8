"""The command serve_rm in a process of its own, asked through the trainer's reward client."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from openrlhf.rewards.functions import open_rewards
from toy_models import byte_tokenizer, save_toy, save_toy_reward_model, toy_reward

END = "<|endoftext|>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serve")
    save_toy_reward_model(path / "reward", seed=5, mean=0.25, std=4.0)
    return path


def start(folder: Path, *flags: str) -> tuple[subprocess.Popen, str]:
    """The running server and its address."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "openrlhf.cli.serve_rm", "--reward_pretrain", str(folder / "reward")),
            *("--host", "127.0.0.1", "--port", "0", "--max_len", "64", *flags),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("ready: "):
            return process, line.split()[1].removesuffix(",")
    raise AssertionError("".join(lines))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    process, url = start(folder, "--workers", "2", "--batch_size", "3", "--normalize_reward")
    yield process, url
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output


def expected(query: str) -> float:
    ids = byte_tokenizer()(query.removesuffix(END) + END)["input_ids"]
    return (toy_reward(5, ids[-64:]) - 0.25) / 4.0


def test_rewards_through_the_trainers_client_are_those_of_the_model(server: tuple[subprocess.Popen, str]) -> None:
    _, url = server
    prompts = [f"What is {n} + {n}? " for n in range(8)]
    queries = [f"{prompt}It is {2 * n}.{END if n % 2 else ''}" for n, prompt in enumerate(prompts)]
    rewards = open_rewards([url, url], workers=1, timeout=60)
    try:
        found = rewards.submit(queries, prompts, [""] * 8).result(120)
    finally:
        rewards.close()
    torch.testing.assert_close(found, [2 * expected(query) for query in queries], rtol=0, atol=2e-5)


def test_clients_at_the_same_time_get_the_rewards_of_their_own_queries(server: tuple[subprocess.Popen, str]) -> None:
    _, url = server

    def ask(number: int) -> list[float]:
        body = json.dumps({"query": [f"{number} and {n}" for n in range(number % 4 + 1)] + ["x" * 100]}).encode()
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as answer:
            return json.load(answer)["rewards"]

    with ThreadPoolExecutor(16) as clients:
        for number, found in enumerate(clients.map(ask, range(24))):
            wanted = [expected(f"{number} and {n}") for n in range(number % 4 + 1)] + [expected("x" * 100)]
            torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5)
    with urllib.request.urlopen(url.replace("get_reward", "health"), timeout=60) as answer:
        assert json.load(answer)["queries_cut"] >= 24


def run(*flags: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "openrlhf.cli.serve_rm", *flags], capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stderr


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        status, said = run("--reward_pretrain", save_toy(tmp_path), "--host", "127.0.0.1", "--port", port)
    assert status == 2
    assert f"cannot listen on --host 127.0.0.1 --port {port} (Address already in use" in said


def test_a_model_without_a_head_is_refused_with_status_2(tmp_path: Path) -> None:
    status, said = run("--reward_pretrain", save_toy(tmp_path), "--host", "127.0.0.1", "--port", "0")
    assert status == 2
    assert "has no layer score.weight" in said.splitlines()[-1]
