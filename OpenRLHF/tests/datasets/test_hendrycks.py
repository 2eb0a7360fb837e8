"""Reading MATH in every layout, and choosing its rows."""

import gzip
import json
import os
from pathlib import Path

import pytest

import datasets
from openrlhf.datasets.hendrycks import CONFIGURATIONS, read_folder, read_hub
from openrlhf.datasets.math_selection import (
    EXCLUDED,
    KEPT,
    NO_ANSWER,
    UNKNOWN_LEVEL,
    normalise_problem,
    read_excluded,
    render_records,
    render_report,
    select_rows,
)
from openrlhf.errors import UserError


def row(problem: str, level: str = "Level 3", type: str = "Algebra", solution: str = r"$\boxed{1}$") -> dict:
    return {"problem": problem, "level": level, "type": type, "solution": solution}


def write_lines(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in rows)
    if path.suffix == ".gz":
        with gzip.open(path, "wt", encoding="utf-8", newline="\n") as file:
            file.write(text)
    else:
        path.write_text(text, encoding="utf-8")


def select(rows, min_level: int = 3, excluded: frozenset[str] = frozenset()):
    return select_rows(rows, min_level=min_level, excluded=excluded, same=lambda one, other: False)


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
def test_one_file_per_split_gives_all_configurations(tmp_path: Path, ending: str):
    rows = [row("a\u2028b"), {**row("c", type="Geometry"), "config": "geometry"}, row("d")]
    write_lines(tmp_path / f"hendrycks_math_train{ending}", rows)
    found = read_folder(tmp_path, ["train"])
    assert [(one.configuration, one.number, one.problem) for one in found] == [
        ("algebra", 0, "a\u2028b"),
        ("geometry", 0, "c"),
        ("algebra", 1, "d"),
    ]


def test_the_original_release_has_one_problem_per_file_in_numeric_order(tmp_path: Path):
    for split in ("train", "test"):
        for configuration, display in CONFIGURATIONS.items():
            folder = tmp_path / split / configuration
            folder.mkdir(parents=True)
            for number in (1, 2, 10):
                text = json.dumps(row(f"{split} {number}", type=display), indent=4)
                (folder / f"{number}.json").write_text(text, encoding="utf-8")
    found = read_folder(tmp_path, ["train", "test"])
    assert len(found) == 42
    assert [one.problem for one in found[:3]] == ["train 1", "train 2", "train 10"]
    assert {one.configuration for one in found} == set(CONFIGURATIONS)


@pytest.mark.parametrize(
    "layout",
    [
        "train/{}.jsonl",
        "{}/train.json",
        "{}_train.jsonl",
        "{}.jsonl",
        "{}/train-00000-of-00001.parquet",
        "train/{}.parquet",
        "{}.parquet",
    ],
)
def test_one_file_per_configuration_is_found_under_every_usual_name(tmp_path: Path, layout: str):
    for configuration, display in CONFIGURATIONS.items():
        path = tmp_path / layout.format(configuration)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [row(f"{configuration} 0", type=display), row(f"{configuration} 1", type=display)]
        if path.suffix == ".parquet":
            datasets.Dataset.from_list(rows).to_parquet(str(path))
        elif path.suffix == ".json":
            path.write_text(json.dumps(rows), encoding="utf-8")
        else:
            write_lines(path, rows)
    found = read_folder(tmp_path, ["train"])
    assert [one.problem for one in found] == [f"{name} {n}" for name in CONFIGURATIONS for n in (0, 1)]
    with pytest.raises(UserError, match="has no test rows of algebra, counting_and_probability"):
        read_folder(tmp_path, ["test"])


def test_a_missing_configuration_is_named_with_what_was_expected_and_found(tmp_path: Path):
    for configuration in list(CONFIGURATIONS)[:-2]:
        write_lines(tmp_path / "train" / f"{configuration}.jsonl", [row("a")])
    with pytest.raises(UserError) as refusal:
        read_folder(tmp_path, ["train"])
    message = str(refusal.value)
    assert "no train rows of prealgebra, precalculus." in message
    assert "train/prealgebra/*.json" in message
    assert message.endswith("found train")


def test_a_missing_folder_an_empty_one_and_a_missing_field_are_errors(tmp_path: Path):
    with pytest.raises(UserError, match="there is no such folder"):
        read_folder(tmp_path / "none", ["train"])
    with pytest.raises(UserError, match="found an empty folder"):
        read_folder(tmp_path, ["train"])
    write_lines(tmp_path / "hendrycks_math_train.jsonl", [row("a"), {"problem": "b", "answer": "1"}])
    with pytest.raises(UserError, match=r"row 1: there is no text in the field 'solution'.*found problem, answer"):
        read_folder(tmp_path, ["train"])


def test_the_hub_is_asked_for_all_seven_configurations(monkeypatch):
    asked = []

    def load_dataset(name, configuration, split):
        asked.append((name, configuration, split))
        return datasets.Dataset.from_list([row(configuration)])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    found = read_hub("owner/math", ["train", "test"])
    assert asked == [("owner/math", name, split) for split in ("train", "test") for name in CONFIGURATIONS]
    assert [one.problem for one in found] == [*CONFIGURATIONS, *CONFIGURATIONS]


def test_a_hub_that_does_not_answer_is_an_error_that_names_the_way_out(monkeypatch):
    def unreachable(name, configuration, split):
        raise ConnectionError("Couldn't reach 'owner/math' on the Hub\nlong trace")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(UserError, match=r"configuration algebra.*Couldn't reach 'owner/math' on the Hub\).*--data_dir"):
        read_hub("owner/math", ["train"])


@pytest.fixture
def mixed(tmp_path: Path):
    """Eight rows: two too easy, one of unknown level, one without answer, four good ones."""
    rows = [
        row("one", "Level 1"),
        row("two", "Level 2"),
        row("unknown", "Level ?", "Geometry"),
        row("empty", "Level 5", "Number Theory", r"There are $\boxed{}$ primes."),
        row("three", "Level 3", "Geometry"),
        row("four", "4"),
        row("Find $x$.", "level 5", solution=r"$\boxed{2}$ or $\boxed{3}$"),
        row("five", "Level 5"),
    ]
    write_lines(tmp_path / "hendrycks_math_train.jsonl", rows)
    return read_folder(tmp_path, ["train"])


def test_levels_answers_and_exclusions_decide_and_everything_is_counted(mixed):
    selection = select(mixed, excluded=frozenset({normalise_problem("FIVE")}))
    assert [record["problem"] for record in selection.records] == ["three", "four", "Find $x$."]
    assert selection.records[2] == {
        "problem": "Find $x$.",
        "solution": r"$\boxed{2}$ or $\boxed{3}$",
        "answer": "2 or 3",
        "level": "level 5",
        "type": "Algebra",
    }
    counts = [selection.count(outcome) for outcome in (UNKNOWN_LEVEL, EXCLUDED, NO_ANSWER, KEPT)]
    assert counts == [1, 1, 1, 3]
    assert selection.count() == 8
    assert selection.count(KEPT, split="test") == 0
    assert [(one.problem, why) for one, why in selection.answerless] == [("empty", "the box is empty")]


def test_the_minimum_level_is_an_argument(mixed):
    assert len(select(mixed, min_level=1).records) == 6
    assert [record["problem"] for record in select(mixed, min_level=5).records] == ["Find $x$.", "five"]


def test_the_report_gives_every_count_and_lists_what_was_dropped(mixed):
    text = render_report(select(mixed, excluded=frozenset({"five"})), 3)
    lines = {line.split("  ")[0]: line.split()[-7:] for line in text.split("\n") if line}
    assert lines["train"] == ["8", "1", "2", "5", "1", "1", "3"]
    assert lines["geometry"] == ["2", "1", "0", "1", "0", "0", "1"]
    assert lines["number_theory"] == ["1", "0", "0", "1", "0", "1", "0"]
    assert lines["Level 2"] == ["1", "0", "1", "0", "0", "0", "0"]
    assert "5 rows of level 3 or above\n4 after dropping 1: in a benchmark to exclude\n" in text
    assert "3 after dropping 1: the box is empty" in text
    assert "  train number_theory row 0 (Level 5): the box is empty: empty" in text


def test_problems_are_compared_without_spacing_dollars_and_case():
    one = "Find  $\\left( x \\right)$ if\n$x\\,=\\!1$."
    assert normalise_problem(one) == normalise_problem("find $(x)$ if x=1.")
    assert normalise_problem("x = 1") != normalise_problem("x = 2")


@pytest.mark.parametrize("name", ["problem", "question"])
def test_benchmark_files_are_read_by_their_problem_field(tmp_path: Path, name: str):
    write_lines(tmp_path / "bench.jsonl", [{"id": 1, name: "What is 1 + 1?"}])
    assert read_excluded([tmp_path / "bench.jsonl"]) == {normalise_problem("what is 1+1?")}


def test_a_benchmark_file_without_a_problem_field_is_refused(tmp_path: Path):
    write_lines(tmp_path / "bench.jsonl", [{"id": 1, "text": "x"}])
    with pytest.raises(UserError, match=r"--exclude .*bench.jsonl: none of the fields problem, question"):
        read_excluded([tmp_path / "bench.jsonl"])


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_records_come_back_as_they_were_from_either_form(tmp_path: Path, name: str):
    from openrlhf.datasets.sources import load_records

    records = [{"problem": 'a\u2028b\n"c"', "answer": "½"}, {"problem": "d", "answer": "2"}]
    text = render_records(records, Path(name))
    assert text.isascii()
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert load_records(str(tmp_path / name)) == records


needs_math = pytest.mark.skipif("INTRO_DATA_DIR" not in os.environ, reason="INTRO_DATA_DIR is not set")


@needs_math
def test_real_math_has_the_known_counts():
    rows = read_folder(Path(os.environ["INTRO_DATA_DIR"]), ["train", "test"])
    selection = select(rows)
    sufficient = [selection.count(KEPT, NO_ANSWER, split=split) for split in ("train", "test")]
    assert sufficient == [5586, 3669]
    assert selection.count(UNKNOWN_LEVEL) == 2
    assert [(one.split, one.configuration, why) for one, why in selection.answerless] == [
        ("train", "number_theory", "the box is empty"),
        ("train", "number_theory", "the box is empty"),
        ("test", "prealgebra", "the box is an operator"),
    ]
    assert all(record["answer"] == record["answer"].strip() != "" for record in selection.records)


@needs_math
def test_excluding_math_500_removes_its_367_problems_from_both_splits_and_none_from_train():
    folder = Path(os.environ["INTRO_DATA_DIR"])
    excluded = read_excluded([folder / "math500.jsonl"])
    counts = [
        select(read_folder(folder, splits), excluded=excluded).count(EXCLUDED)
        for splits in (["train"], ["train", "test"])
    ]
    assert counts == [0, 367]
