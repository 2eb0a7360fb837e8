"""`python3 -m openrlhf.cli.grade_answers`, run as a user runs it."""

import json
import subprocess
import sys


def _run(tmp_path, lines, *flags):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "openrlhf.cli.grade_answers", "--input", source, "--output", target]
    done = subprocess.run([*map(str, command), *flags], capture_output=True, text=True, check=False)
    records = [json.loads(line) for line in target.read_text().splitlines()] if target.exists() else None
    return done, records


def test_every_line_is_repeated_with_its_verdict(tmp_path):
    lines = [
        {"pred": "1/2", "gold": "0.5", "id": 7},
        {"response": r"so \boxed{x+x}", "gold": "2x"},
        {"response": "no idea", "gold": "5"},
        {"pred": None, "gold": "5"},
        {"pred": "3", "gold": "4\u2028"},
    ]
    done, records = _run(tmp_path, [json.dumps(line, ensure_ascii=False) for line in lines], "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert [{key: record[key] for key in line} for line, record in zip(lines, records, strict=True)] == lines
    assert [record["equal"] for record in records] == [True, True, False, False, False]
    assert [record["extracted"] for record in records] == ["1/2", "x+x", None, None, "3"]
    assert [record["how"] for record in records] == [
        "number",
        "expression",
        "no_answer",
        "no_answer",
        "number",
    ]
    assert all(record["seconds"] >= 0 for record in records)
    assert "5 graded, 2 equal, 2 without an answer" in done.stderr


def test_malformed_lines_are_named_by_number_and_skipped(tmp_path):
    lines = [
        '{"pred": "1", "gold": "1"}',
        "not json",
        '{"pred": "1"}',
        "[1]",
        '{"gold": "1"}',
        '{"pred": 1, "gold": "1"}',
    ]
    done, records = _run(tmp_path, lines)
    assert done.returncode == 1
    assert len(records) == 1
    for number in (2, 3, 4, 5, 6):
        assert f"line {number}:" in done.stderr
    assert "line 1:" not in done.stderr
    assert "5 malformed" in done.stderr


def test_an_empty_file_is_said_to_be_empty_and_ends_with_status_1(tmp_path):
    done, records = _run(tmp_path, [])
    assert done.returncode == 1
    assert "is empty" in done.stderr
    assert records == []


def test_a_missing_input_is_an_error_without_a_traceback(tmp_path):
    command = [
        sys.executable,
        "-m",
        "openrlhf.cli.grade_answers",
        "--input",
        "nowhere.jsonl",
        "--output",
        "o.jsonl",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "nowhere.jsonl" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_policy_can_be_given(tmp_path):
    line = '{"response": "roughly 3.14159 then", "gold": "3.14"}'
    done, records = _run(tmp_path, [line], "--last_number", "--decimals", "rounded")
    assert done.returncode == 0
    assert records[0]["equal"]


def test_a_hanging_pair_does_not_lose_the_file(tmp_path):
    lines = [
        json.dumps({"pred": r"\sum_{n=1}^{10^{12}} \sin(n)", "gold": "5"}),
        json.dumps({"pred": "x+x", "gold": "2x"}),
    ]
    done, records = _run(tmp_path, lines, "--timeout", "1", "--workers", "1")
    assert done.returncode == 0
    assert [(record["equal"], record["how"]) for record in records] == [
        (False, "timeout"),
        (True, "expression"),
    ]
    assert "1 timed out" in done.stderr
