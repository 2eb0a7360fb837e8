"""One voice: what a run says reaches the caller, what libraries print reaches a file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from openrlhf.trainer.run_log import step_line
from openrlhf.utils import console

PROGRAM = """
import os, subprocess, sys, warnings
from pathlib import Path
from openrlhf.utils import console

flags = dict(flag.split("=") for flag in sys.argv[2:])
with console.one_voice(Path(sys.argv[1]), **{name: value == "True" for name, value in flags.items()}):
    print("a library's print")
    warnings.warn("a library's warning", FutureWarning)
    os.write(2, b"a library in C\\n")
    subprocess.run(["echo", "a process"], check=True)
    console.say("the plan")
    console.note("something matters")
    with console.waiting("loading"):
        pass
    with console.waiting("longer"):
        console.note("meanwhile")
    console.say("Done.", always=True)
    print("left over", end="")
print("after")
raise SystemExit(os.isatty(1))
"""
NOISE = ("library's print", "library's warning", "library in C", "a process", "left over")


def run(log: Path, *flags: str) -> tuple[str, str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(log), *flags], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_libraries_write_into_the_log_and_the_run_to_its_caller(tmp_path: Path) -> None:
    log = tmp_path / "log" / "output.log"
    out, err = run(log)
    assert out == "the plan\nDone.\nafter\n"
    assert err == "note: something matters\nloading … 0 s\nlonger …\nnote: meanwhile\nlonger: 0 s\n"
    assert all(word in log.read_text() for word in NOISE)


def test_a_continued_run_keeps_what_the_log_held(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    log.write_text("before\n")
    run(log, "append=True")
    assert log.read_text().startswith("before\n")
    run(log)
    assert "before" not in log.read_text()


def test_quiet_says_notes_and_the_end_and_verbose_moves_nothing(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    assert run(log, "quiet=True") == ("Done.\nafter\n", "note: something matters\nnote: meanwhile\n")
    out, err = run(tmp_path / "other.log", "verbose=True")
    assert all(word in out + err for word in NOISE)
    assert not (tmp_path / "other.log").exists()


def test_notes_are_kept_for_the_report(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    console.keep_notes(tmp_path / "notes.jsonl")
    try:
        console.note("collapsed", step=3)
    finally:
        console.keep_notes(None)
    console.note("not kept")
    assert capsys.readouterr().err == "note: collapsed\nnote: not kept\n"
    assert [json.loads(line) for line in (tmp_path / "notes.jsonl").open()] == [{"step": 3, "note": "collapsed"}]


def test_a_step_is_one_line_of_at_most_100_columns_and_loses_what_matters_least() -> None:
    seconds = {"generate": 12.34, "train": 3.21, "sync": 0.01, "evaluate": 2.0}
    short = step_line(3, 20, "acc 0.5, loss 2", seconds, 61.0)
    assert short == "step 3/20 | acc 0.5, loss 2 | generate 12.3s train 3.2s evaluate 2.0s | 01:01 left"
    parts = [f"figure{number} 0.123" for number in range(30)]
    long = step_line(3, 20, ", ".join(parts), seconds, 61.0)
    assert len(long) <= 100
    assert long.startswith("step 3/20 | figure0 0.123, figure1 0.123")
    assert long.endswith(" | generate 12.3s | 01:01 left")
    assert len(step_line(3, 20, "x" * 300, seconds, 61.0)) == 100
