"""What the plan says of generating ahead."""

import json
from pathlib import Path

from openrlhf.trainer.outlook import ahead_outlook


def test_a_step_ahead_takes_the_slower_part_and_the_sync(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    assert ahead_outlook(file) == ""
    rows = [{"step": 0, "eval/accuracy": 0.1}]
    rows += [{"step": n, "time/generate_s": 6.0, "time/train_s": 12.0, "time/sync_s": 2.0} for n in range(1, 6)]
    rows += [{"step": 6, "time/generate_s": 600.0, "time/train_s": 1.0, "time/sync_s": 1.0}]  # the first of a restart
    file.write_text("\n".join([*map(json.dumps, rows), "torn"]))
    assert "about 14.0 s instead of 20.0 (30% less)" in ahead_outlook(file)


def test_steps_that_were_made_ahead_say_nothing_about_taking_turns(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    times = {"time/generate_s": 0.1, "time/train_s": 12.0, "time/sync_s": 2.0}
    file.write_text(json.dumps({"step": 1, "train/version_lag": 1.0, **times}))
    assert ahead_outlook(file) == ""
