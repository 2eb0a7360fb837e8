"""A run whose parts die goes on from its latest checkpoint, as often as it may."""

from pathlib import Path

import pytest
from test_checkpoints import config_of, save

from openrlhf.cli.rl import with_restarts
from openrlhf.errors import UserError
from openrlhf.rollout.errors import EngineError
from openrlhf.trainer.ray.role_group import RankError
from openrlhf.trainer.resuming import Start
from openrlhf.trainer.state import TrainerState


class Run:
    """Saves a checkpoint of the step that comes next, then dies as told."""

    def __init__(self, folder: Path, *deaths: Exception) -> None:
        self.folder, self.deaths = folder, list(deaths)
        self.began: list[tuple[int, str | None]] = []

    def __call__(self, start: Start[TrainerState]) -> None:
        self.began.append((start.state.step, start.tag))
        assert start.state.run == "run"
        if self.deaths:
            save(self.folder, start.state.step + 1, config_of(self.folder))
            raise self.deaths.pop(0)


FRESH = Start(TrainerState(run="run"))


def test_it_goes_on_from_the_latest_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(tmp_path, RankError("rank 1 of the actor died: killed\nmore"), EngineError("engine 0 died", 0))
    with_restarts(config_of(tmp_path, "--max_restarts", "2"), FRESH, run)
    assert run.began == [(0, None), (1, "global_step1"), (2, "global_step2")]
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "note: rank 1 of the actor died: killed: restart 1 of 2.",
        "note: engine 0 died: restart 2 of 2.",
    ]
    assert "Continuing from" in said.out


@pytest.mark.parametrize("limit", ["0", "1"])
def test_the_last_death_is_raised_as_it_is(tmp_path: Path, limit: str) -> None:
    deaths = [RankError(f"death {number}") for number in range(3)]
    with pytest.raises(RankError, match=f"death {limit}"):
        with_restarts(config_of(tmp_path, "--max_restarts", limit), FRESH, Run(tmp_path, *deaths))


def test_what_the_user_can_mend_is_not_tried_again(tmp_path: Path) -> None:
    run = Run(tmp_path, UserError("too many rewards failed"))
    with pytest.raises(UserError, match="too many"):
        with_restarts(config_of(tmp_path, "--max_restarts", "5"), FRESH, run)
    assert len(run.began) == 1
