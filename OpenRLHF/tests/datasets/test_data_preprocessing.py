"""The command that makes the training data, from the command line to the file."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "code" / "data" / "data_preprocessing.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("data_preprocessing", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        rows = [
            {
                "problem": f"{split} problem {level}",
                "level": f"Level {level}",
                "type": "Algebra",
                "solution": rf"So $x = \boxed{{{level}}}$ or $x = \boxed{{-{level}}}$.",
            }
            for level in range(1, 6)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"hendrycks_math_{split}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def test_the_training_split_from_level_three_on_is_written_with_joined_answers(script, folder: Path, capsys):
    target = folder / "new" / "out.json"
    assert script.main(["--data_dir", str(folder), "--save_path", str(target)]) == 0
    records = json.loads(target.read_text(encoding="utf-8"))
    assert [(record["problem"], record["answer"]) for record in records] == [
        ("train problem 3", "3 or -3"),
        ("train problem 4", "4 or -4"),
        ("train problem 5", "5 or -5"),
    ]
    assert set(records[0]) == {"problem", "solution", "answer", "level", "type"}
    printed = capsys.readouterr()
    assert "3 rows of level 3 or above" in printed.out
    assert "3 records written to" in printed.out
    assert "WARNING" not in printed.err
    assert [path.name for path in target.parent.iterdir()] == ["out.json"]


def test_the_test_split_is_taken_on_request_with_a_loud_warning(script, folder: Path, capsys):
    target = folder / "out.jsonl"
    argv = [
        "--data_dir",
        str(folder),
        "--splits",
        "train",
        "test",
        "--min_level",
        "5",
        "--save_path",
        str(target),
    ]
    assert script.main(argv) == 0
    lines = target.read_text(encoding="utf-8").split("\n")
    assert [json.loads(line)["problem"] for line in lines if line] == ["train problem 5", "test problem 5"]
    assert "WARNING: the test split is part of this data, and MATH-500" in capsys.readouterr().err


def test_problems_of_given_benchmarks_are_left_out_and_counted(script, folder: Path, capsys):
    target = folder / "out.json"
    (folder / "bench.jsonl").write_text('{"question": "TRAIN  problem $4$"}\n', encoding="utf-8")
    argv = ["--data_dir", str(folder), "--exclude", str(folder / "bench.jsonl"), "--save_path", str(target)]
    assert script.main(argv) == 0
    assert [record["level"] for record in json.loads(target.read_text(encoding="utf-8"))] == [
        "Level 3",
        "Level 5",
    ]
    assert "2 after dropping 1: in a benchmark to exclude" in capsys.readouterr().out


def test_the_default_result_lies_beside_the_script_and_names_the_test_split(script):
    assert script.default_save_path(3, ["train"]) == SCRIPT.parent / "math_level3to5.json"
    assert script.default_save_path(3, ["train", "test"]) == SCRIPT.parent / "math_level3to5_train_test.json"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--data_dir", "no/such/folder"], "there is no such folder"),
        (["--min_level", "6"], "no row of level 6 or above is left; nothing was written"),
        (["--save_path", "out.csv"], "give a name that ends in .json or .jsonl"),
        (["--exclude", "none.jsonl"], "none.jsonl: there is no such file"),
    ],
)
def test_what_cannot_work_ends_with_a_message_and_status_two(
    script, folder: Path, argv: list[str], message: str, capsys
):
    target = folder / "out.json"
    assert script.main(["--data_dir", str(folder), "--save_path", str(target), *argv]) == 2
    assert message in capsys.readouterr().err
    assert not target.exists()


def test_an_older_result_survives_a_failed_run(script, folder: Path):
    target = folder / "out.json"
    target.write_text("older", encoding="utf-8")
    assert script.main(["--data_dir", str(folder), "--save_path", str(target), "--min_level", "6"]) == 2
    assert target.read_text(encoding="utf-8") == "older"


def test_the_documented_command_runs_from_the_code_folder(folder: Path):
    target = folder / "out.json"
    subprocess.run(
        [sys.executable, "data/data_preprocessing.py", "--data_dir", str(folder), "--save_path", str(target)],
        cwd=SCRIPT.parents[1],
        check=True,
        capture_output=True,
    )
    assert len(json.loads(target.read_text(encoding="utf-8"))) == 3
