"""Rollouts kept in files: what is in them, how they are shown, and what a replay refuses."""

import json
import math
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from openrlhf.cli import rollouts as command
from openrlhf.errors import UserError
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.rollout.engine import Sampling
from openrlhf.trainer.replay import Replay
from openrlhf.trainer.rollout_files import FIELDS, RolloutWriter, origin_of, read_file, rollout_folder, steps_in
from toy_models import byte_tokenizer

PROMPTS = [Prompt(0, "1 + 1 =", (1, 2, 3), "2"), Prompt(4, "2 + 2 =", (4, 5), "4")]
HOSTILE = "\x1b[31mred\x07 \u202egnp.exe <script>alert(1)</script>"
ROLLOUTS = [
    Rollout(
        PROMPTS[0],
        0,
        (7, 8),
        (-0.5, -0.25),
        "stop",
        "is 2",
        1.0,
        (1, 0),
        False,
        True,
        ((9,),),
        {"advantage": (0.5, 0.5)},
    ),
    Rollout(PROMPTS[0], 1, (7,), (-2.0,), "length", HOSTILE, 0.0, guided=True, hints=()),
    Rollout(PROMPTS[1], 0, (), (), "stop", "", math.nan),
]
ANY = Sampling(temperature=1.0, max_new_tokens=4)
DOCUMENTED = Path(__file__).resolve().parents[3] / "docs" / "rollouts.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    writer = RolloutWriter(tmp_path / "run" / "rollouts", origin_of("/models/start", byte_tokenizer(), "abc"))
    for step in (1, 2, 3):
        writer.write(step, ROLLOUTS)
    return tmp_path / "run"


def show(capsys: pytest.CaptureFixture, *argv: str) -> str:
    assert command.main(argv) == 0
    return capsys.readouterr().out


def test_a_file_holds_everything_about_each_rollout(folder: Path) -> None:
    saved = read_file(folder / "rollouts" / "step_000002.parquet")
    assert (saved.step, saved.origin["run"], len(saved.rows)) == (2, "abc", 3)
    first, second, third = saved.rows
    assert first == {
        "step": 2,
        "prompt_index": 0,
        "sample": 0,
        "prompt": "1 + 1 =",
        "prompt_ids": [1, 2, 3],
        "label": "2",
        "text": "is 2",
        "token_ids": [7, 8],
        "engine_logprobs": [-0.5, -0.25],
        "reward": 1.0,
        "finish_reason": "stop",
        "trained": True,
        "guided": False,
        "hint_ids": [[9]],
        "versions": [1, 0],
        "column_advantage": [0.5, 0.5],
    }
    assert saved.columns(first) == {"advantage": [0.5, 0.5]}
    assert (second["text"], saved.columns(second)) == (HOSTILE, {})
    assert third["reward"] is None  # not graded


def test_the_documented_schema_is_the_one_that_is_written() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", DOCUMENTED.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert rows == [*FIELDS, "column_NAME"]


def test_a_continued_run_writes_later_steps_anew_and_no_step_twice(folder: Path) -> None:
    files = folder / "rollouts"
    (files / ".step_000003.parquet.1.tmp").write_text("half a file")
    writer = RolloutWriter(files, {})
    writer.truncate_to(1)
    assert [path.name for path in files.iterdir()] == ["step_000001.parquet"]
    writer.write(2, ROLLOUTS[:1])
    writer.write(2, ROLLOUTS[:2])
    assert {step: len(read_file(path).rows) for step, path in steps_in(files).items()} == {1: 3, 2: 2}


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        (["--step", "2"], [(2, 0, 0), (2, 0, 1), (2, 4, 0)]),
        (["--right"], [(1, 0, 0), (2, 0, 0), (3, 0, 0)]),
        (["--wrong", "--prompt", "0", "--step", "1", "3"], [(1, 0, 1), (3, 0, 1)]),
        (["--untrained", "--search", "SCRIPT"], [(1, 0, 1), (2, 0, 1), (3, 0, 1)]),
        (["--trained", "--limit", "0"], [(1, 0, 0), (2, 0, 0), (3, 0, 0)]),
    ],
)
def test_rollouts_are_filtered(
    folder: Path, capsys: pytest.CaptureFixture, flags: list[str], shown: list[tuple[int, int, int]]
) -> None:
    rows = [json.loads(line) for line in show(capsys, str(folder), "--json", *flags).splitlines()]
    assert [(row["step"], row["prompt_index"], row["sample"]) for row in rows] == shown


def test_what_a_model_wrote_does_not_reach_the_terminal_as_control_characters(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    printed = show(capsys, str(folder), "--step", "1")
    assert "step 1, prompt 0, sample 0: reward 1, 2 tokens, stop, trained on" in printed
    assert "\\u001b[31mred\\u0007 \\u202egnp.exe" in printed
    assert "\x1b" not in printed
    assert "\u202e" not in printed


def test_what_is_no_such_folder_or_file_is_refused_in_one_line(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert command.main([str(folder / "nothing")]) == 2
    assert "is no folder: give the folder of a run that had --save_rollouts" in capsys.readouterr().err
    path = folder / "rollouts" / "step_000001.parquet"
    pq.write_table(pa.table({"step": [1]}), path)
    with pytest.raises(UserError, match="its schema does not say so"):
        read_file(path)
    path.write_bytes(b"PAR1 is what it says")
    with pytest.raises(UserError, match="cannot be read as parquet"):
        read_file(path)


def test_a_replay_gives_the_rollouts_as_they_came_from_the_engine(folder: Path) -> None:
    replay = Replay(folder, byte_tokenizer(), steps=3)
    replay.check(PROMPTS)
    made = replay.make(list(reversed(PROMPTS)), 2, ANY, purpose="rollout", step=2)
    assert [(r.prompt, r.sample, r.token_ids, r.logprobs, r.versions, r.reward) for r in made[:2]] == [
        (r.prompt, r.sample, r.token_ids, r.logprobs, r.versions, r.reward) for r in ROLLOUTS[:2]
    ]
    assert math.isnan(made[2].reward)
    assert [r.guided for r in made] == [False, True, False]
    assert not any(r.trained or any(r.hints) or r.columns for r in made)
    assert replay.last_step == 3


def test_a_replay_refuses_other_prompts_another_tokenizer_and_missing_steps(folder: Path) -> None:
    replay = Replay(folder, byte_tokenizer(), steps=3)
    with pytest.raises(UserError, match="rollouts of another prompt"):
        replay.make([PROMPTS[0], Prompt(4, "3 + 3 =", (4, 6), "6")], 2, ANY, purpose="rollout", step=1)
    with pytest.raises(UserError, match=r"no rollout of 1 prompt.*--rollout_batch_size"):
        replay.make([*PROMPTS, Prompt(5, "3 + 3 =", (4, 6), "6")], 2, ANY, purpose="rollout", step=1)
    larger = byte_tokenizer()
    larger.add_tokens(["another"])
    with pytest.raises(UserError, match="another tokenizer, that of /models/start"):
        Replay(folder, larger, steps=3)
    (rollout_folder(folder) / "step_000002.parquet").unlink()
    with pytest.raises(UserError, match="steps 2 are missing"):
        Replay(folder, byte_tokenizer(), steps=3)
