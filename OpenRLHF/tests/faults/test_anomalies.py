"""What counts as an anomaly, and what does not."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_checkpoints import config_of, save

from openrlhf.errors import UserError
from openrlhf.trainer.anomalies import ENOUGH, AnomalyWatch, broken
from openrlhf.trainer.rl_trainer import RLTrainer
from openrlhf.trainer.state import TrainerState

CALM = {
    "train/policy_loss": 0.5,
    "train/grad_norm": 1.0,
    "train/entropy": 0.8,
    "train/response_length": 30.0,
    "train/kl_posterior": 0.05,
    "train/engine_gap_mean": 1e-6,
    "train/hinted_accuracy": 0.9,
    "train/kept_share": 0.4,
}


def after(calm_steps: int, **changed: float) -> list[str]:
    watch = AnomalyWatch()
    for step in range(calm_steps):
        wobble = 1 + 0.3 * math.sin(step)
        assert watch.look({name: value * wobble for name, value in CALM.items() if "hinted" not in name}) == []
    return watch.look({**CALM, **{f"train/{name}": value for name, value in changed.items()}})


@pytest.mark.parametrize("name", ["policy_loss", "grad_norm", "critic_loss", "critic_grad_norm"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_seen_in_the_first_step(name: str, value: float) -> None:
    (said,) = after(0, **{name: value})
    assert said == f"train/{name} {value}: no number"
    assert broken({f"train/{name}": value})
    assert not broken(CALM)


@pytest.mark.parametrize(
    ("name", "value", "means"),
    [
        ("entropy", 0.1, "the policy collapses or dissolves"),
        ("entropy", 9.0, "the policy collapses or dissolves"),
        ("response_length", 3.0, "responses collapse or explode"),
        ("response_length", 200.0, "responses collapse or explode"),
        ("kl_posterior", 2.0, "policy and posterior part"),
        ("engine_gap_mean", 0.3, "weights may not have reached the engines"),
    ],
)
def test_a_jump_is_seen_once_there_is_something_to_compare_with(name: str, value: float, means: str) -> None:
    (said,) = after(8, **{name: value})
    assert said.startswith(f"train/{name} {value:.4g} (before: ")
    assert said.endswith(f": {means}")
    assert after(ENOUGH - 1, **{name: value}) == []


def test_a_usual_step_and_small_gaps_are_none() -> None:
    assert after(20) == []
    assert after(20, engine_gap_mean=5e-3, kl_posterior=0.09, entropy=0.3) == []


def test_a_collapse_does_not_become_usual() -> None:
    watch = AnomalyWatch()
    for _ in range(5):
        watch.look(CALM)
    for _ in range(20):
        assert watch.look({**CALM, "train/entropy": 0.01})
    assert watch.look(CALM) == []


def test_hinted_accuracy_is_compared_with_its_best() -> None:
    watch = AnomalyWatch()
    found = [bool(watch.look({"train/hinted_accuracy": value})) for value in (0.7, 0.92, 0.88, 0.75, 0.7)]
    assert found == [False, False, False, False, True]


def test_half_of_that_drift_counts_when_it_lasts_and_the_best_may_be_long_ago() -> None:
    watch = AnomalyWatch()
    slowly = [0.98 - 0.006 * step for step in range(40)]
    found = [bool(watch.look({"train/hinted_accuracy": value})) for value in slowly]
    assert found.index(True) == 18  # 0.98 - 0.108 is the second one below 0.88


def test_keeping_nothing_is_an_anomaly_only_when_it_lasts() -> None:
    watch = AnomalyWatch()
    found = [bool(watch.look({"train/kept_share": value})) for value in (0.0, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0, 0.2)]
    assert found == [False, False, False, False, False, True, True, False]


class Group:
    """A role that notes what it is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def call(self, method: str, *arguments: object) -> list[dict]:
        self.calls.append((method, *arguments))
        return [{}]


def trainer(folder: Path, action: str) -> RLTrainer:
    made = object.__new__(RLTrainer)
    made.config = config_of(folder, "--on_anomaly", action)
    made.state = TrainerState(step=3, optimizer_steps=6, kl_coef=0.5)
    made.skipped = []
    made.roles = SimpleNamespace(policy=Group(), critic=None, memory=SimpleNamespace(enter=lambda phase: None))  # type: ignore[assignment]
    return made


WRONG = ["train/entropy 0.01: the policy collapses or dissolves"]


def test_warning_says_it_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trainer(tmp_path, "warn").mend(3, WRONG, 0.0) is False
    assert capsys.readouterr().err == f"note: step 3: {WRONG[0]}.\n"


def test_stopping_names_the_checkpoint_to_go_back_to(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"step 3: train/entropy .*; there is no checkpoint"):
        trainer(tmp_path, "stop").mend(3, WRONG, 0.0)
    save(tmp_path, 2, config_of(tmp_path))
    with pytest.raises(UserError, match="the latest checkpoint is global_step2"):
        trainer(tmp_path, "stop").mend(3, WRONG, 0.0)


def test_rolling_back_loads_the_checkpoint_goes_on_with_the_next_step_and_ends_after_three(tmp_path: Path) -> None:
    save(tmp_path, 2, config_of(tmp_path))
    made = trainer(tmp_path, "rollback")
    for times in (1, 2, 3):
        assert made.mend(3, WRONG, 0.25) is True
        assert (made.state.rollbacks, made.state.kl_coef) == (times, 0.0)
        assert (made.state.step, made.state.optimizer_steps) == (3, 6)
    calls = made.roles.policy.calls  # type: ignore[attr-defined]
    assert calls[:2] == [("load_checkpoint", str(tmp_path / "_actor"), "global_step2"), ("sync_weights", 3)]
    with pytest.raises(UserError, match="on_anomaly rollback"):
        made.mend(3, WRONG, 0.0)


def test_each_rollback_goes_further_back_as_far_as_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path, step, config_of(tmp_path))
    made = trainer(tmp_path, "rollback")
    for _ in range(3):
        made.mend(3, WRONG, 0.0)
    loaded = [call[2] for call in made.roles.policy.calls if call[0] == "load_checkpoint"]  # type: ignore[attr-defined]
    assert loaded == ["global_step2", "global_step1", "global_step1"]


def test_skipping_takes_the_updates_back_and_ends_after_three_among_ten_steps(tmp_path: Path) -> None:
    made = trainer(tmp_path, "skip")
    for step in (3, 7, 10):
        assert made.mend(step, WRONG, 0.25) is True
        assert made.state.kl_coef == 0.25
    assert [call[0] for call in made.roles.policy.calls] == ["undo", "sync_weights"] * 3  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"there is no checkpoint \(--on_anomaly skip\)"):
        made.mend(12, WRONG, 0.25)
    assert made.mend(13, WRONG, 0.25) is True  # step 3 is long ago
