"""The table, summary.json and picture at the end of the quickstart."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def write(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value) + "\n", encoding="utf-8")


@pytest.fixture
def run(tmp_path):
    """A function that runs the script on the figures below `tmp_path`."""

    def start(*extra: str) -> subprocess.CompletedProcess:
        script = str(ROOT / "code/examples/demo/summarize.py")
        command = [sys.executable, script, "--seed", "4", "--output_dir", str(tmp_path / "out")]
        command += ["--base", str(tmp_path / "base"), "--trained", str(tmp_path / "trained")]
        command += ["--metrics", str(tmp_path / "metrics.jsonl"), "--seconds", "data=3", "training=61.5", *extra]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    for name, accuracy, length in (("base", 0.25, 11.5), ("trained", 0.75, 30.25)):
        figures = {"accuracy": {"mean": accuracy}, "num_samples": 600, "length_mean": length}
        write(tmp_path / name / "demo/test_none_metrics.json", figures)
    write(tmp_path / "metrics.jsonl", {"step": 1, "train/accuracy": 0.3, "train/response_length": 12.0})
    return start


def test_the_summary_holds_the_figures_of_both_models_and_the_seconds_of_each_phase(run, tmp_path):
    done = run()
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out/summary.json").read_text()) == {
        "seed": 4,
        "base": {"accuracy": 0.25, "n": 600, "length": 11.5},
        "trained": {"accuracy": 0.75, "n": 600, "length": 30.25},
        "seconds": {"data": 3.0, "training": 61.5},
    }


def test_the_table_has_wilson_intervals_and_the_change_in_points(run):
    # Wilson's interval of 150 among 600: (0.25 + z²/1200 ± z·sqrt(0.1875/600 + z²/1440000)) / (1 + z²/600), z = 1.96,
    # is 0.2170 to 0.2862; by symmetry that of 450 is 0.7138 to 0.7830.
    output = run().stdout
    assert "25.0%   21.7 to 28.6" in output
    assert "75.0%   71.4 to 78.3" in output
    assert "+50.0 points" in output


def test_the_picture_is_a_png(run, tmp_path):
    run()
    assert (tmp_path / "out/run.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_missing_scores_are_an_error_that_names_the_folder(run, tmp_path):
    (tmp_path / "base/demo/test_none_metrics.json").unlink()
    done = run()
    assert done.returncode == 2
    assert str(tmp_path / "base") in done.stderr
    assert "found 0" in done.stderr
    assert "Traceback" not in done.stderr
