"""Parts of a run killed while it trains: it ends as if nothing had happened."""

import signal
import time
from pathlib import Path

import pytest
from sigkills import Run, disturbed, make_folder, result, title_of

from openrlhf.utils.signals import descendants

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]
STEPS = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kills")
    make_folder(path, STEPS)
    return path


@pytest.fixture(scope="module")
def undisturbed(folder: Path) -> dict:
    run = Run(folder, "whole")
    run.end()
    return result(run)


def test_an_engine_killed_every_third_step_changes_nothing(folder: Path, undisturbed: dict) -> None:
    run = Run(folder, "engines")
    killed = 0
    for step in range(3, STEPS, 3):
        run.wait_for_step(step)
        killed += run.kill("EngineActor")
    said = run.end()
    assert killed == 3
    assert said.count("it is started anew and asked again") >= 1
    assert result(run) == undisturbed


def test_a_killed_rank_is_named_and_the_run_goes_on_by_itself(folder: Path, undisturbed: dict) -> None:
    run = Run(folder, "ranks", "--max_restarts", "1")
    run.wait_for_step(3)
    assert run.kill("PolicyWorker") == 1
    said = run.end()
    assert "note: rank 0 of the actor" in said
    assert "restart 1 of 1" in said
    assert result(run) == undisturbed


def test_kills_of_driver_ranks_and_engines_by_turns_change_nothing(folder: Path, undisturbed: dict) -> None:
    """A few here; sigkills.py has fifty."""
    run, hit, _ = disturbed(folder, "by_turns", 6, 3, ())
    assert set(hit) == {"driver", "rank", "engine"}
    assert result(run) == undisturbed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_and_all_its_processes(folder: Path, number: signal.Signals, undisturbed: dict) -> None:
    run = Run(folder, f"stopped{int(number)}", "--save_on_signal", "--save_steps", "-1")
    run.wait_for_step(2)
    parts = descendants(run.process.pid)
    run.process.send_signal(number)
    assert run.process.wait(timeout=60) == 128 + number
    assert run.log.read_text().splitlines()[-1] == f"ended by {number.name}"
    time.sleep(1)
    assert [p for p in parts if "ray" in title_of(p)] == []
    done = len(run.rows())
    again = Run(folder, f"stopped{int(number)}", "--load_checkpoint", "--save_steps", "-1")
    again.end()
    assert done < STEPS
    assert result(again) == undisturbed
