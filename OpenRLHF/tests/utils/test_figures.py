"""Metrics of runs read from their files, and drawn."""

import json
import math

import pytest

from openrlhf.errors import UserError
from openrlhf.utils.figures import PANELS, draw_runs, read_metrics, series


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_rows_come_back_by_step_and_a_repeated_step_counts_as_written_last(tmp_path):
    path = lines(tmp_path / "m.jsonl", {"step": 2, "a": 1.0}, {"step": 1, "a": 2.0}, {"step": 2, "a": 3.0})
    assert [(row["step"], row["a"]) for row in read_metrics(path)] == [(1, 2.0), (2, 3.0)]


def test_a_series_leaves_out_steps_without_the_metric_and_what_is_not_a_number():
    run = [{"step": 1, "a": 0.5}, {"step": 2}, {"step": 3, "a": math.nan}, {"step": 4, "a": 1.0}]
    assert series(run, "a") == ([1, 4], [0.5, 1.0])


def test_a_damaged_line_is_an_error_with_its_number(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1}\n{"step": \n', encoding="utf-8")
    with pytest.raises(UserError, match="line 2"):
        read_metrics(path)


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.jsonl"):
        read_metrics(tmp_path / "nothing.jsonl")


def test_a_picture_shows_every_run_in_every_panel(tmp_path):
    from PIL import Image

    colours = {"first": (0, 0x72, 0xB2), "second": (0xD5, 0x5E, 0)}
    names = [metric for panel in PANELS for metric in panel.metrics]
    runs = {
        name: [{"step": step, **dict.fromkeys(names, 0.2 + 0.4 * number)} for step in range(1, 6)]
        for number, name in enumerate(colours)
    }
    draw_runs(runs, tmp_path / "run.png")
    with Image.open(tmp_path / "run.png") as picture:
        pixels = picture.convert("RGB")
    half = (pixels.width // 2, pixels.height // 2)
    for left in (0, half[0]):
        for top in (0, half[1]):
            panel = pixels.crop((left, top, left + half[0], top + half[1] * 9 // 10))
            found = {colour for _, colour in panel.getcolors(1 << 20)}
            assert set(colours.values()) <= found


def test_a_run_without_any_of_the_metrics_is_still_drawn(tmp_path):
    draw_runs({"empty": [{"step": 1}]}, tmp_path / "run.png")
    assert (tmp_path / "run.png").stat().st_size > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["run.png"]


def test_too_many_runs_for_one_picture_are_an_error(tmp_path):
    with pytest.raises(UserError, match="1 to 7 runs, found 8"):
        draw_runs({str(number): [{"step": 1}] for number in range(8)}, tmp_path / "run.png")
