"""A run's folders: refused when used, locked, tried out, and what a new run takes over of an old one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from configuring import parsed
from openrlhf.config.training import TrainConfig
from openrlhf.errors import UserError
from openrlhf.trainer import run_folders
from openrlhf.trainer.checkpoint import Record, rotate_checkpoints, rotate_hf_copies
from openrlhf.trainer.run_folders import OWNER_FILE, check_space, claimed
from openrlhf.trainer.run_log import RunLog


def config_of(folder: Path, *flags: str) -> TrainConfig:
    paths = ("--save_path", str(folder / "out"), "--ckpt_path", str(folder / "ckpt"), "--save_steps", "1")
    return parsed("train_ppo_ray_intro", "--pretrain", "m", *paths, *flags).config


def leave_checkpoint(folder: Path, step: int, run: str) -> Path:
    made = folder / "ckpt" / "_actor" / f"global_step{step}"
    made.mkdir(parents=True)
    (made / "shard.pt").write_bytes(b"weights")
    Record(run, {"step": step}).write(made)
    (made.parent / "latest").write_text(made.name)
    return made


def test_a_fresh_folder_is_taken_and_a_refused_run_leaves_none_behind(tmp_path: Path) -> None:
    with claimed(config_of(tmp_path)) as folders:
        owner = json.loads((tmp_path / "ckpt" / OWNER_FILE).read_text())
        assert owner["run"] == folders.run
        assert owner["pid"] == os.getpid()
        assert (tmp_path / "out" / OWNER_FILE).stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["_actor/global_step9", "_critic/global_step9", "global_step9", "global_step9_hf"])
def test_a_folder_with_checkpoints_is_refused_and_nothing_in_it_is_touched(tmp_path: Path, place: str) -> None:
    old = tmp_path / "ckpt" / place
    old.mkdir(parents=True)
    with (
        pytest.raises(UserError, match=r"--ckpt_path .* of another run: --load_checkpoint .* --overwrite"),
        claimed(config_of(tmp_path)),
    ):
        pass
    assert old.is_dir()


@pytest.mark.parametrize(("file", "text"), [("metrics.jsonl", '{"step": 1}\n'), ("config.json", "{}")])
def test_a_folder_with_results_is_refused_unless_it_shall_be_replaced(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / file).write_text(text)
    with pytest.raises(UserError, match=r"--save_path .* of another run"), claimed(config_of(tmp_path)):
        pass
    assert (tmp_path / "out" / file).read_text() == text
    with claimed(config_of(tmp_path, "--overwrite")):
        pass


def test_overwrite_removes_the_old_checkpoints_when_the_run_begins_and_not_before(tmp_path: Path) -> None:
    old = leave_checkpoint(tmp_path, 9, "old")
    (tmp_path / "ckpt" / "notes.txt").write_text("mine")
    with claimed(config_of(tmp_path, "--overwrite")) as folders:
        assert old.is_dir()
        folders.begin()
        assert not old.exists()
        assert not (old.parent / "latest").exists()
        assert folders.run != "old"
    assert (tmp_path / "ckpt" / "notes.txt").read_text() == "mine"


def test_a_continued_run_keeps_its_identity(tmp_path: Path) -> None:
    with claimed(config_of(tmp_path)) as folders:
        leave_checkpoint(tmp_path, 1, folders.run)
        (tmp_path / "out" / "metrics.jsonl").write_text('{"step": 1}\n')
        first = folders.run
    with claimed(config_of(tmp_path, "--load_checkpoint")) as folders:
        assert folders.run == first


def test_a_continued_run_does_not_go_on_in_the_metrics_of_another(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with claimed(config_of(tmp_path / name)) as folders:
            leave_checkpoint(tmp_path / name, 1, folders.run)
            (tmp_path / name / "out" / "metrics.jsonl").write_text('{"step": 1}\n')
    mixed = config_of(tmp_path / "one", "--save_path", str(tmp_path / "two" / "out"), "--load_checkpoint")
    with pytest.raises(UserError, match=r"--save_path .*two/out holds the metrics of another run"), claimed(mixed):
        pass


def test_a_second_run_in_the_same_folder_is_refused_with_host_and_process(tmp_path: Path) -> None:
    said = rf"--save_path .* in use by process {os.getpid()} on \S+: wait"
    second = config_of(tmp_path, "--overwrite")
    with claimed(config_of(tmp_path)), pytest.raises(UserError, match=said), claimed(second):
        pass
    with claimed(config_of(tmp_path)):
        pass


def test_a_killed_run_lets_go_of_its_folder(tmp_path: Path) -> None:
    program = (
        "import sys, time; from configuring import parsed; from openrlhf.trainer.run_folders import claimed\n"
        "with claimed(parsed('train_sft', '--save_path', sys.argv[1]).config): print('in', flush=True); time.sleep(60)"
    )
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"in\n"
    with pytest.raises(UserError, match=f"in use by process {other.pid}"), claimed(config_of(tmp_path)):
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    other.stdout.close()
    with claimed(config_of(tmp_path)):
        pass


@pytest.mark.parametrize("flag", ["save_path", "ckpt_path", "use_tensorboard", "metrics_path"])
def test_every_output_is_tried_before_anything_loads(tmp_path: Path, flag: str) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=rf"--{flag} .* cannot be written .*: choose a folder that can"),
        claimed(config_of(tmp_path, f"--{flag}", str(tmp_path / "file" / "below" / "x"))),
    ):
        pass


def test_a_disk_that_takes_no_writing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(run_folders.os, "replace", refuse)
    with pytest.raises(UserError, match="Invalid cross-device link"), claimed(config_of(tmp_path)):
        pass


def test_too_little_room_is_refused_with_what_is_needed_and_what_is_there(tmp_path: Path) -> None:
    free = run_folders.shutil.disk_usage(tmp_path).free
    check_space(config_of(tmp_path), 1000)
    with pytest.raises(UserError, match=r"about [\d.]+ GB are needed .* [\d.]+ GB are free"):
        check_space(config_of(tmp_path, "--bf16"), free // 20)  # 2 bytes, and twice 14, for each parameter
    check_space(config_of(tmp_path, "--bf16", "--save_steps", "-1"), free // 20)


def test_retention_counts_a_runs_own_checkpoints_up_to_the_present_step(tmp_path: Path) -> None:
    steps = {1: "mine", 2: "mine", 3: "mine", 4: "theirs", 9: "mine"}  # 9: from before it went back to step 1
    for step, run in steps.items():
        leave_checkpoint(tmp_path, step, run)
    rotate_checkpoints(tmp_path / "ckpt" / "_actor", 2, 3, "mine")
    left = sorted(int(folder.name[11:]) for folder in (tmp_path / "ckpt" / "_actor").glob("global_step*"))
    assert left == [2, 3, 4, 9]
    for step in (1, 2, 9):
        (tmp_path / f"global_step{step}_hf").mkdir()
    rotate_hf_copies(tmp_path, 1, 2)
    assert sorted(folder.name for folder in tmp_path.glob("*_hf")) == ["global_step2_hf", "global_step9_hf"]


def test_a_broken_line_of_the_metrics_is_dropped_and_the_rest_kept(tmp_path: Path) -> None:
    with claimed(config_of(tmp_path)) as folders:
        assert folders.run
        log = RunLog(config_of(tmp_path))
        log.metrics(1, {"train/loss": 0.5, "train/reward": float("nan"), "train/kl": float("inf")})
        log.metrics(2, {"train/loss": 0.25})
        with log.path.open("ab") as out:
            out.write(b'{"step": 3, "train/lo\xff')
        log.truncate_to(2)
        rows = [json.loads(line, parse_constant=pytest.fail) for line in log.path.read_text().splitlines()]
    assert [(row["step"], row["train/loss"]) for row in rows] == [(1, 0.5), (2, 0.25)]
    assert rows[0]["train/reward"] is None
    assert rows[0]["train/kl"] is None
