"""The table of bad inputs: each ends with status 2 and one line that names what is wrong.

Those that need no torch run in this process. `bash test.sh --faults` runs all of them as a user does, with their times.
"""

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_inputs import Case, answer, cases, command_line, make_folder

EARLY = [case for case in cases() if case.early]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad") / "whole"
    make_folder(folder)
    return folder


def status_of(command: Callable[[list[str]], int], argv: list[str]) -> object:
    try:
        return command(argv)
    except SystemExit as ended:
        return ended.code


def test_there_are_a_hundred_of_them_and_more() -> None:
    assert len(list(cases())) >= 100


@pytest.mark.parametrize("case", EARLY, ids=lambda case: case.name)
def test_it_is_refused_before_anything_loads(
    case: Case, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    case.prepare(folder)
    capsys.readouterr()
    monkeypatch.chdir(folder)
    command = importlib.import_module(f"openrlhf.cli.{case.command}")
    assert status_of(command.main, command_line(case)[3:]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith(("error: ", "grade_answers: "))
    assert case.says in line
    assert said.out == ""


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_every_bad_input_is_answered_as_a_user_meets_it(whole: Path, tmp_path: Path) -> None:
    """All of them in at most three lines; those that need no torch within three seconds."""
    wrong = []
    for case in cases():
        found = answer(case, whole, tmp_path / "run")
        slow = case.early and found.seconds > 3
        last = found.lines[-1] if found.lines else ""
        if found.status != 2 or len(found.lines) > 3 or case.says not in last or slow:
            wrong.append(f"{case.name}: status {found.status}, {found.seconds:.1f} s, {last}")
    assert wrong == []
