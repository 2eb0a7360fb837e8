"""What used to pass without a word, or with the wrong one."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from configuring import parsed
from openrlhf.cli.keys import job_environment, without_key
from openrlhf.config.rules import rl_rules
from openrlhf.config.settings import with_flags
from openrlhf.datasets.blending import load_blend
from openrlhf.datasets.files import read_file
from openrlhf.datasets.prompts import build_prompts
from openrlhf.errors import UserError
from openrlhf.trainer.preparation import load_prompts
from openrlhf.utils import ray_connection
from openrlhf.utils.network import free_port
from toy_models import byte_tokenizer


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_is_no_gold_answer(tmp_path: Path, value: str) -> None:
    (tmp_path / "d.jsonl").write_text(f'{{"input": "a", "answer": 1.5}}\n{{"input": "b", "answer": {value}}}\n')
    with pytest.raises(UserError, match="row 1: the label in field 'answer' is"):
        build_prompts(read_file(tmp_path / "d.jsonl"), byte_tokenizer(), max_tokens=9, label_key="answer")


def prompts_of(tmp_path: Path, rows: list[dict[str, Any]], *flags: str) -> list[str]:
    (tmp_path / "d.json").write_text(json.dumps(rows))
    argv = ("--pretrain", "m", "--prompt_data", str(tmp_path / "d.json"), "--advantage_estimator", "group_norm")
    batches = ("--n_samples_per_prompt", "2", "--rollout_batch_size", "8", *flags)
    config, _ = rl_rules(parsed("train_ppo_ray_intro", *argv, *batches).config)
    return load_prompts(config, byte_tokenizer())[2]


def test_empty_answers_are_counted_where_the_built_in_grader_needs_them(tmp_path: Path) -> None:
    rows = [{"input": "a", "answer": "1"}, {"input": "b", "answer": " "}]
    flags = ("--label_key", "answer", "--remote_rm_url", "math")
    assert prompts_of(tmp_path, rows, *flags) == ["1 of 2 prompts have an empty answer: no response is right for them."]
    with pytest.raises(UserError, match="no prompt has one: name their field with --label_key"):
        prompts_of(tmp_path, rows, "--remote_rm_url", "math")
    (tmp_path / "own.py").write_text("def reward_func(queries, prompts, labels): ...")
    assert prompts_of(tmp_path, rows, "--remote_rm_url", str(tmp_path / "own.py")) == []


def test_ndjson_is_read_and_a_path_may_hold_a_comma(tmp_path: Path) -> None:
    folder = tmp_path / "one, two"
    folder.mkdir()
    (folder / "data,1.ndjson").write_text('{"input": "a"}\n{"input": "b"}\n')
    found = load_blend(str(folder / "data,1.ndjson"), "1.0", split="train", seed=0)
    assert found == [{"input": "a"}, {"input": "b"}]
    (folder / "reward.py").write_text("")
    config = parsed("train_ppo_ray").config
    assert with_flags(config, remote_rm_url=str(folder / "reward.py")).reward.sources == [str(folder / "reward.py")]
    assert with_flags(config, remote_rm_url="http://a,http://b").reward.sources == ["http://a", "http://b"]


@pytest.mark.parametrize("form", [["--use_wandb", "secret"], ["--use_wandb=secret"]])
def test_a_key_is_taken_out_of_the_command_line(form: list[str]) -> None:
    words, key = without_key(["python3", "-m", "x", *form, "--bf16"])
    assert key == "secret"
    assert "secret" not in " ".join(words)
    assert parsed("train_sft", *words[3:]).config.logging.use_wandb == "True"


@pytest.mark.parametrize("value", ["True", "true", "1", "offline"])
def test_what_is_no_key_stays(value: str) -> None:
    assert without_key(["--use_wandb", value]) == (["--use_wandb", value], None)
    assert without_key(["--use_wandb"]) == (["--use_wandb"], None)


def test_a_process_with_a_key_goes_on_without_it_and_hands_it_to_its_job() -> None:
    program = (
        "import os, sys; from openrlhf.cli.keys import hide_key, job_environment; hide_key();"
        "print(open('/proc/self/cmdline').read().split('\\0')); print(job_environment())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, "--use_wandb", "s3cret"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    title, given = done.stdout.splitlines()
    assert "s3cret" not in title + done.stderr
    assert "'--use_wandb', 'True'" in title
    assert given == str({"WANDB_API_KEY": "s3cret"})
    assert job_environment({}) == {}


def test_a_dead_head_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # another test of this process may have left one
    with pytest.raises(UserError, match=r"RAY_ADDRESS 127.0.0.1:\d+: no Ray answers there"):
        ray_connection.connect()


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["nothing", "HTTP"])
def test_what_listens_but_is_no_ray_is_named_soon(monkeypatch: pytest.MonkeyPatch, says: bytes) -> None:
    """Ray itself would wait for minutes."""
    monkeypatch.setattr(ray_connection, "_ANSWER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def answer() -> None:
            accepted, _ = server.accept()
            with accepted:
                if says:
                    accepted.sendall(says)
                accepted.recv(1000)
                time.sleep(1)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(UserError, match=f"RAY_ADDRESS {address}: no Ray answers there"):
            ray_connection._check_answers(address)
