"""A run that is killed at any named point of writing its files ends, once continued, as one that was not.

The trainer's own code writes them: logs, each rank's pieces, the record, the renaming, the rotation, the model. What is
computed is a sum, and ranks are threads, so that a killed run costs a fork.
"""

import hashlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from test_checkpoints import config_of, save

from openrlhf.models.saving import _MODEL_FILES
from openrlhf.trainer import rank_checkpoint
from openrlhf.trainer.checkpoint import STATE_FILE, find_saved, rotate_checkpoints
from openrlhf.trainer.run_log import RunLog
from openrlhf.trainer.shards import Piece, read_pieces, write_pieces
from openrlhf.trainer.state import TrainerState
from openrlhf.utils.atomic import filled

STEPS, RANKS, KEEP = 2, 2, 1
OPERATIONS = ("replace", "mkdir", "rmdir", "unlink")


class Rank(threading.local):
    number = 0


RANK = Rank()


class Learner:
    """Half of the numbers on each rank. A step adds its number to the weight, and the moment follows."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.weight, self.moment = torch.zeros(6), torch.ones(6)
        self.posterior = None
        self.state = SimpleNamespace(pieces=self.pieces, replicated=False, steps=0)
        self.publish = lambda: None

    def pieces(self) -> dict[str, Piece]:
        own = slice(3 * RANK.number, 3 * RANK.number + 3)
        return {"master/w": Piece(own.start, self.weight[own]), "exp_avg/w": Piece(own.start, self.moment[own])}

    def averages(self) -> dict[str, Any]:
        return {"ema": SimpleNamespace(pieces=self.pieces)}

    def step(self, number: int) -> float:
        self.weight += number
        self.moment.lerp_(self.weight, 0.3)
        self.state.steps += 1
        return float(self.weight.sum() + self.moment.sum())


def together(work: Callable[[], None]) -> None:
    """On both ranks at once; barriers are real."""
    barrier, failed = threading.Barrier(RANKS), []

    def run(rank: int) -> None:
        RANK.number = rank
        try:
            work()
        except BaseException as error:
            failed.append(error)
            barrier.abort()

    fake = SimpleNamespace(
        get_rank=lambda: RANK.number, get_world_size=lambda: RANKS, barrier=lambda: barrier.wait(timeout=20)
    )
    with patch.object(rank_checkpoint, "dist", fake), patch.object(rank_checkpoint, "sharding_stage", lambda _: 3):
        ranks = [threading.Thread(target=run, args=(rank,)) for rank in range(RANKS)]
        for thread in ranks:
            thread.start()
        for thread in ranks:
            thread.join()
    if failed:
        raise failed[0]


def run(folder: Path) -> None:
    """From wherever it stands to its end, as the commands do it."""
    config = config_of(folder, "--save_path", str(folder / "out"))
    parent, learner, state = folder / "_actor", Learner(config), TrainerState(run="run")
    saved = find_saved([parent], TrainerState) if parent.is_dir() else None
    log = RunLog(config)
    log.truncate_to(saved.state.step if saved else -1)
    if saved is not None:
        state = saved.state
        together(lambda: rank_checkpoint.load_learner(learner, str(parent), saved.tag))  # type: ignore[arg-type]
    while state.step < STEPS:
        state.step += 1
        log.metrics(state.step, {"train/policy_loss": learner.step(state.step)})
        together(
            lambda: rank_checkpoint.save_learner(learner, str(parent), state.step, asdict(state), KEEP)  # type: ignore[arg-type]
        )
    with filled(folder / "out", _MODEL_FILES) as target:
        write_pieces(target, "model", 0, {"w": Piece(0, learner.weight)})
        (target / "config.json").write_text("{}")


@contextmanager
def watched(visit: Callable[[str, Callable[[], None] | None], None]) -> Iterator[None]:
    """Calls `visit` with a name before every operation that changes the disk, and for those that write a file a second
    time with what leaves half of it."""
    seen: dict[str, int] = {}
    lock = threading.Lock()

    def reach(name: str, halfway: Callable[[], None] | None = None) -> None:
        with lock:
            seen[name] = seen.get(name, 0) + 1
            numbered = f"{name} #{seen[name]}"
        visit(f"before {numbered}", None)
        if halfway is not None:
            visit(f"within {numbered}", halfway)

    def changed(name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        def call(*arguments: Any, **more: Any) -> Any:
            reach(f"{name} {' → '.join(_short(a) for a in arguments if isinstance(a, str | Path))}")
            return original(*arguments, **more)

        return call

    def written(path: Path, text: str, *arguments: Any, **more: Any) -> int:
        reach(f"write {_short(path)}", lambda: path.write_bytes(text.encode()[: len(text) // 2]))
        return write_text(path, text, *arguments, **more)

    def saved(tensors: dict, file: Path, *arguments: Any, **more: Any) -> None:
        def halfway() -> None:
            save_file(tensors, file, *arguments, **more)
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

        reach(f"write {_short(file)}", halfway)
        save_file(tensors, file, *arguments, **more)

    import safetensors.torch

    write_text, save_file = Path.write_text, safetensors.torch.save_file
    with (
        patch.multiple(os, **{name: changed(name) for name in OPERATIONS}),
        patch.object(Path, "write_text", written),
        patch.object(safetensors.torch, "save_file", saved),
    ):
        yield


def _short(path: str | Path) -> str:
    return str(path).rsplit("/", 1)[-1].replace(str(os.getpid()), "PID")


def in_fork(work: Callable[[], None]) -> int:
    """Its status; below zero for a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def points(folder: Path) -> list[str]:
    found: list[str] = []
    folder.mkdir()
    with watched(lambda name, halfway: found.append(name)):
        run(folder)
    return found


def result(folder: Path) -> dict[str, Any]:
    """Metrics without times, and by its hash each other file that an end leaves. The last rotation may have been cut
    off; the next one goes on with it."""
    rows = [json.loads(line) for line in (folder / "out" / "metrics.jsonl").read_text().splitlines()]
    files = [f for f in folder.rglob("*") if f.is_file() and f.name != "metrics.jsonl"]
    files = [f for f in files if not f.parent.name.startswith("global_step1")]
    hashes = {str(f.relative_to(folder)): hashlib.sha256(_content(f)).hexdigest() for f in files}
    return {"rows": [{k: v for k, v in row.items() if k != "time"} for row in rows], **hashes}


def _content(file: Path) -> bytes:
    if file.name != STATE_FILE:
        return file.read_bytes()
    record = json.loads(file.read_text())
    del record["settings"]  # paths and the time
    return json.dumps(record).encode()


def test_a_run_killed_at_any_point_of_writing_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    named = points(tmp_path / "whole")
    undisturbed = result(tmp_path / "whole")
    assert [row["step"] for row in undisturbed["rows"]] == [1, 2]
    kinds = {" ".join(name.split()[:2]) for name in named}
    assert {"before replace", "before rmdir", "within write"} <= kinds
    assert len(named) >= 20
    wrong = []
    for index, name in enumerate(named):
        folder = tmp_path / f"killed{index}"
        folder.mkdir()

        def killing(reached: str, halfway: Callable[[], None] | None, wanted: str = name) -> None:
            if reached == wanted:
                if halfway is not None:
                    halfway()
                os.kill(os.getpid(), signal.SIGKILL)

        def killed(folder: Path = folder, visit: Callable = killing) -> None:
            with watched(visit):
                run(folder)

        status = in_fork(killed)
        if status != -signal.SIGKILL:
            wrong.append(f"{name}: not reached ({status})")
        elif in_fork(lambda folder=folder: run(folder)) != 0:  # type: ignore[misc]
            wrong.append(f"{name}: cannot be continued")
        elif (found := result(folder)) != undisturbed:
            wrong.append(f"{name}: {_difference(found, undisturbed)}")
    print(f"{len(named)} points")
    assert not wrong, "\n".join(wrong)


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    return sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))


def test_a_piece_that_no_file_holds_is_named(tmp_path: Path) -> None:
    write_pieces(tmp_path, "optimizer", 0, {"w": Piece(0, torch.arange(4.0))})
    into = torch.zeros(6)
    with pytest.raises(ValueError, match=r"2 numbers of w are in no optimizer_rank\*\.safetensors"):
        read_pieces(tmp_path, "optimizer", 0, {"w": Piece(0, into)})


def test_a_rotation_that_was_cut_off_is_finished_by_the_next(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    for step in (1, 2, 3):
        save(tmp_path, step, config)
    parent = tmp_path / "_actor"
    (parent / "global_step1").rename(parent / "global_step1.partial")
    (parent / "global_step9.partial").mkdir()  # of a later step, which is being written
    rotate_checkpoints(parent, 1, 3, "run")
    assert sorted(entry.name for entry in parent.iterdir()) == ["global_step3", "global_step9.partial", "latest"]
