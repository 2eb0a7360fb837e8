"""Whatever a file, a command line, a checkpoint or an answer holds: it is read, or refused in one line."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_checkpoints import config_of, save

from openrlhf.cli.arguments import build_parser, parse
from openrlhf.config.rules import rl_rules
from openrlhf.datasets.files import read_file
from openrlhf.datasets.templates import as_messages
from openrlhf.errors import UserError
from openrlhf.grading import extract_answer
from openrlhf.trainer.checkpoint import STATE_FILE, Record, typed
from openrlhf.trainer.shards import Piece, read_pieces, write_pieces
from openrlhf.trainer.state import TrainerState

T = TypeVar("T")
few = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def refusal(work: Callable[[], T]) -> tuple[T | None, str | None]:
    """What it makes, or what it says instead; anything but a refusal is raised."""
    try:
        return work(), None
    except (UserError, ValueError) as error:
        return None, str(error)
    except SystemExit as ended:
        return None, f"status {ended.code}"


@few
@given(st.binary(max_size=60) | anything.map(lambda value: json.dumps(value).encode()), st.sampled_from(range(5)))
def test_a_data_file_gives_rows_or_says_what_is_wrong(tmp_path: Path, data: bytes, kind: int) -> None:
    file = tmp_path / ("rows" + (".json", ".jsonl", ".csv", ".json.gz", ".parquet")[kind])
    file.write_bytes(data)
    check_rows(file)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("deep.json", b"[" * 100_000),
        ("deep.jsonl", b'{"a":' * 100_000),
        ("digits.jsonl", b'{"a": ' + b"7" * 5000 + b"}"),
        ("cut.json.gz", gzip.compress(b'[{"a": 1}]' * 50)[:-9]),
        ("changed.json.gz", gzip.compress(random.Random(1).randbytes(500))[:20] + b"\xff" * 40),
    ],
)
def test_data_that_readers_choke_on_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=name):
        read_file(tmp_path / name)


def check_rows(file: Path) -> None:
    rows, said = refusal(lambda: read_file(file))
    if said is not None:
        assert str(file) in said
        return
    assert rows
    assert all(isinstance(row, dict) for row in rows)


@few
@given(anything)
def test_the_contents_of_messages_are_texts_or_refused(content: Any) -> None:
    for whole in (content, [{"role": "user", "content": content}]):
        messages, said = refusal(lambda whole=whole: as_messages(whole, "problem", 3))  # type: ignore[misc]
        if said is not None:
            assert "row 3: field 'problem'" in said
        else:
            assert all(isinstance(message["content"], str) for message in messages)


ACTIONS = build_parser("train_ppo_ray_intro")._actions
FLAGS = sorted(action.option_strings[0] for action in ACTIONS if action.dest != "help")
VALUES = st.sampled_from(["0", "1", "-1", "2", "1e9", "nan", "inf", "0.5", "", "none", "a,b", "--", "{}", "x.py", "é"])


@few
@given(st.lists(st.tuples(st.sampled_from(FLAGS), st.lists(VALUES, max_size=2)), min_size=1, max_size=4))
def test_any_flags_make_a_configuration_or_one_line(
    capsys: pytest.CaptureFixture[str], given_flags: list[tuple[str, list[str]]]
) -> None:
    argv = [word for flag, values in given_flags for word in (flag, *values)]
    needed = ["--pretrain", "m", "--prompt_data", "p.json", "--label_key", "answer", "--remote_rm_url", "math"]
    capsys.readouterr()
    made, said = refusal(lambda: rl_rules(parse("train_ppo_ray_intro", [*needed, *argv]).config))
    if said == "status 2":
        (said,) = capsys.readouterr().err.splitlines()
    assert (made is None) != (said is None)
    assert said is None or said.strip()


SHARE = st.floats(0, 1)
DAMAGE = st.tuples(st.just(1.0) | SHARE, st.lists(st.tuples(SHARE, st.integers(0, 255)), max_size=4))


@few
@given(DAMAGE)
def test_a_damaged_checkpoint_is_refused_for_its_damage(tmp_path_factory: Any, damage: Any) -> None:
    folder = tmp_path_factory.mktemp("ckpt")
    made = save(folder, 2, config_of(folder))
    file = made / STATE_FILE
    file.write_bytes(damaged(file.read_bytes(), damage))
    state, said = refusal(lambda: typed(TrainerState, Record.read(made).state, STATE_FILE))
    assert state is not None or said


@few
@given(anything)
def test_a_state_of_any_shape_is_typed_or_refused(value: Any) -> None:
    for state in (value, {"step": value}, {"sampler": value}, {"sampler": {"count": value}}):
        try:
            found = typed(TrainerState, state, STATE_FILE)
        except ValueError:
            continue
        assert type(found.step) is int
        assert all(type(number) is int for number in found.sampler.values())


@few
@given(DAMAGE)
def test_damaged_weights_of_a_checkpoint_are_refused_in_one_line(tmp_path_factory: Any, damage: Any) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    write_pieces(folder, "optimizer", 0, {"master/w": Piece(0, torch.arange(12.0))}, {"steps": 2})
    file = folder / "optimizer_rank0.safetensors"
    file.write_bytes(damaged(file.read_bytes(), damage))
    notes, said = refusal(lambda: read_pieces(folder, "optimizer", 0, {"master/w": Piece(0, torch.zeros(12))}))
    assert notes is not None or len((said or "").splitlines()) == 1


def damaged(whole: bytes, damage: tuple[float, list[tuple[float, int]]]) -> bytes:
    """Cut off, or with some bytes changed."""
    share, changes = damage
    changed = bytearray(whole)
    for where, value in changes:
        changed[int(where * (len(whole) - 1))] = value
    return bytes(changed[: int(share * len(whole))])


PIECES = [
    "\\boxed{",
    "}",
    "{",
    "\\frac",
    "$",
    "answer is",
    "1",
    ",",
    "\\text{",
    "\\\\",
    "^",
    "####",
    "\n",
    "½",
    "(",
    "]",
]


@few
@given(st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join) | st.text(max_size=40))
def test_an_answer_is_found_in_any_response_or_none_is(response: str) -> None:
    found = extract_answer(response)
    assert found is None or isinstance(found, str)
