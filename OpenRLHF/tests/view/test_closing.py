"""How a run ends: its last lines, and a report that cannot be written."""

import json
import re
import time
from pathlib import Path

import pytest

from configuring import parsed
from openrlhf.cli.reading import concluded
from openrlhf.view import closing


def run_in(folder: Path) -> None:
    folder.mkdir()
    rows = [{"step": 1, "train/accuracy": 0.25}, {"step": 2, "train/accuracy": 0.5, "eval/accuracy": 0.75}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_last_lines_say_what_happened_where_it_is_and_what_is_next(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    run_in(out)
    config = parsed("train_ppo_ray_intro", "--save_path", str(out)).config
    with concluded(config, "train_ppo_ray_intro", time.monotonic() - 61, lambda: True):
        pass
    first, *others = capsys.readouterr().out.splitlines()
    gains = ", accuracy of rollouts 25.0% → 50.0%, accuracy on held-out problems 75.0% → 75.0%."
    assert re.fullmatch(r"Done: 2 steps in [1-9]:\d\d min" + re.escape(gains), first)
    assert others == [
        f"  model    {out}",
        f"  metrics  {out / 'metrics.jsonl'}",
        f"  report   {out / 'report.html'}",
        f"  log      {out / 'log'}",
        f"  next     python3 -m openrlhf.cli.math_eval --model_name_or_path {out} --data_names math500",
    ]


def test_a_report_that_cannot_be_written_is_said_and_fails_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run_in(out)
    config = parsed("train_sft", "--save_path", str(out)).config

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(closing, "write_report", full)
    with concluded(config, "train_sft", time.monotonic(), lambda: True):
        pass
    said = capsys.readouterr()
    assert "note: the report" in said.err
    assert "No space left on device" in said.err
    assert said.out.startswith("Done: 2 steps")
    assert "  report " not in said.out


def test_a_run_that_fails_leaves_a_report_of_what_it_did_and_its_error(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = parsed("train_sft", "--save_path", str(tmp_path / "out")).config
    for begun in (False, True):
        with pytest.raises(RuntimeError), concluded(config, "train_sft", 0.0, lambda begun=begun: begun):
            raise RuntimeError("a rank died")
        assert capsys.readouterr().out == ""  # no metrics yet
    run_in(tmp_path / "out")
    with pytest.raises(RuntimeError), concluded(config, "train_sft", 0.0, lambda: True):
        raise RuntimeError("a rank died")
    assert capsys.readouterr().out == f"report: {tmp_path / 'out' / 'report.html'}\n"
