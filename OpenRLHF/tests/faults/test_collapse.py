"""A published setting destroys what it has learned. It is seen in time; what comes of that depends on --on_anomaly."""

import pytest
from collapse import ACTIONS, Ending, make_base, train

pytestmark = [pytest.mark.faults, pytest.mark.timeout(5400)]


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ending]:
    folder = tmp_path_factory.mktemp("collapse")
    make_base(folder)
    return {action: train(folder, action) for action in ACTIONS}


def test_a_warning_comes_while_most_of_it_is_there_and_changes_nothing(endings: dict[str, Ending]) -> None:
    ending = endings["warn"]
    best, first = max(ending.accuracy.values()), first_alarm(ending)
    assert (ending.status, ending.greedy) == (0, pytest.approx(0, abs=0.1))
    assert min(value for step, value in ending.accuracy.items() if 10 <= step <= first) > 0.7 * best


def test_stopping_names_a_checkpoint_from_before(endings: dict[str, Ending]) -> None:
    ending = endings["stop"]
    assert ending.status == 2
    assert len(ending.said) == 1
    assert "policy and posterior drift together; the latest checkpoint is global_step" in ending.said[0]


def test_skipping_does_not_stop_a_drift_and_ends_the_run(endings: dict[str, Ending]) -> None:
    ending = endings["skip"]
    assert ending.status == 2
    assert ["updates are taken back" in line for line in ending.said] == [True, True, True, False]


def test_rolling_back_keeps_what_was_learned(endings: dict[str, Ending]) -> None:
    ending, undisturbed = endings["rollback"], endings["warn"]
    last = list(ending.accuracy.values())[-1]
    assert "back to global_step" in ending.said[0]
    assert last > 0.7 * max(undisturbed.accuracy.values())


def first_alarm(ending: Ending) -> int:
    return int(ending.said[0].removeprefix("note: step ").partition(":")[0])
