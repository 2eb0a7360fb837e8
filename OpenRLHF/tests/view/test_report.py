"""The report of runs: its figures against the files, and what a browser makes of it."""

import json
import math
import random
import re
from pathlib import Path

import pytest

from browser import chromium, needs_chromium
from openrlhf.cli import report as command
from openrlhf.errors import UserError
from openrlhf.view.panels import PANELS, panels_for
from openrlhf.view.report import interval, report_data, write_report
from openrlhf.view.runs import named, read_run, thinned

HOSTILE = "</script><script>document.title = 'owned'</script>\u202e"


def make_run(folder: Path, rows: list[dict], samples: list[dict] = (), settings: str = "") -> Path:  # type: ignore[assignment]
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in samples))
    if settings:
        (folder / "run.yaml").write_text(settings)
    return folder


def sample(step: int, prompt: str, reward: float | None = 1.0, response: str = "so $x^2$") -> dict:
    return {"step": step, "prompt": prompt, "answer": "7", "response": response, "reward": reward,
            "finish_reason": "stop", "tokens": 5}  # fmt: skip


def test_a_run_is_read_while_it_goes_on(tmp_path: Path) -> None:
    rows = [{"step": 2, "time": 1.0, "train/loss": 0.5}, {"step": 1, "train/loss": 1.0, "train/grad_norm": None}]
    folder = make_run(tmp_path / "run", [*rows, {"step": 2, "train/loss": 0.25}])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "train/lo')  # its writer is at work
    run = read_run(folder)
    assert run.series("train/loss") == ([1, 2], [1.0, 0.25])
    assert run.series("train/grad_norm") == ([], [])
    assert read_run(folder / "metrics.jsonl").series("train/loss") == ([1, 2], [1.0, 0.25])
    with pytest.raises(UserError, match=r"no metrics\.jsonl"):
        read_run(tmp_path)


def test_long_series_keep_their_extremes() -> None:
    draw = random.Random(0)
    steps = list(range(10_000))
    values = [draw.random() for _ in steps]
    values[777], values[5000] = 40.0, -30.0
    few_steps, few = thinned(steps, values, 1000)
    assert len(few) <= 1002
    assert few_steps == sorted(set(few_steps))
    assert [values[step] for step in few_steps] == few
    assert (few_steps[0], few_steps[-1]) == (0, 9999)
    assert {40.0, -30.0} <= set(few)
    for start in range(0, 10_000, 500):  # each stretch keeps what sticks out of it
        inside = [value for step, value in zip(few_steps, few, strict=True) if start <= step < start + 500]
        assert max(inside) == max(values[start : start + 500])
        assert min(inside) == min(values[start : start + 500])
    assert thinned(steps[:5], values[:5], 1000) == (steps[:5], values[:5])


def test_intervals_are_wilsons() -> None:
    def by_hand(share: float, n: float) -> tuple[float, float]:
        z = 1.959963984540054
        middle, reach = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return (middle - reach) / (1 + z * z / n), (middle + reach) / (1 + z * z / n)

    row = {"train/kept": 64.0, "train/kept_share": 0.25, "eval/problems": 600.0}
    assert interval("train/accuracy", 0.25, row) == pytest.approx(by_hand(0.25, 256))
    assert interval("eval/accuracy", 0.5, row) == pytest.approx(by_hand(0.5, 600))
    assert interval("train/loss", 0.5, row) is None
    assert interval("train/accuracy", 0.0, {"train/kept": 0.0, "train/kept_share": 0.0}) is None


def test_every_metric_of_every_command_stands_in_a_chart() -> None:
    names = ["time", "train/loss", "train/acc", "eval/acc", "train/ptx_loss", "train/my_own", "eval/pass@4"]
    made = panels_for(names)
    assert sorted(name for panel in made for name in panel.metrics) == sorted(set(names) - {"time"})
    assert made[-1].title == "eval/pass@4"
    known = [name for panel in PANELS for name in panel.metrics]
    assert len(known) == len(set(known))


def test_differences_between_settings_come_first(tmp_path: Path) -> None:
    one = make_run(tmp_path / "a" / "run", [{"step": 1}], settings="command: x\nmodel: {pretrain: m}\nrate: 1\n")
    two = make_run(tmp_path / "b" / "run", [{"step": 1}], settings="command: x\nmodel: {pretrain: m}\nrate: 2\n")
    assert named([one, two]) == ["a/run", "b/run"]
    data = report_data([read_run(one), read_run(two)])
    assert data["settings"][0] == {"name": "rate", "values": ["1", "2"], "differs": True}
    assert data["settings"][1] == {"name": "model.pretrain", "values": ["m", "m"], "differs": False}
    assert [run["command"] for run in data["runs"]] == ["x", "x"]


def test_what_is_no_run_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert command.main([str(tmp_path)]) == 2
    assert "give the --save_path of a run" in capsys.readouterr().err
    make_run(tmp_path / "run", [{"step": 1, "train/loss": 1.0}])
    assert command.main([str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out == f"report: {tmp_path / 'run' / 'report.html'}\n"


def test_watching_writes_the_page_again_when_the_run_has_gone_on(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(tmp_path / "run", [{"step": 1, "train/loss": 1.0}])
    page = folder / "report.html"
    seen: list[tuple[bool, bool]] = []

    def look(seconds: float) -> None:
        text = page.read_text()
        seen.append(('"live":true' in text, '"x":[1,2]' in text))
        if len(seen) == 1:
            with (folder / "metrics.jsonl").open("a") as file:
                file.write('{"step": 2, "train/loss": 0.5}\n')
        elif len(seen) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", look)
    assert command.main([str(folder), "--watch"]) == 0
    assert seen == [(True, False), (True, True), (True, True)]
    assert '"live":false' in page.read_text()


@needs_chromium
@pytest.mark.slow
def test_a_browser_draws_ten_thousand_steps_within_three_seconds_and_shows_text_as_text(tmp_path: Path) -> None:
    draw = random.Random(1)
    names = [name for panel in PANELS for name in panel.metrics]
    folders = []
    for name in ("one", "two"):
        rows = [{"step": s, "train/kept": 8.0, **{n: draw.random() + 0.01 for n in names}} for s in range(1, 10_001)]
        samples = [sample(s, HOSTILE + f" number {s} " + "x" * 1000) for s in range(1, 10_001)]
        samples[0]["response"] = "y" * 1_000_000 + " $\\text{<img src=x onerror=\"document.title='owned'\">}$"
        folders.append(make_run(tmp_path / name, rows, samples, f"rate: {name}\nother: {json.dumps(HOSTILE)}\n"))
    page = tmp_path / "report.html"
    write_report(folders, page)
    assert page.stat().st_size < 10e6
    drawn = """new Promise(done => {
        const look = () => document.querySelector('.plot .main-svg') ? done() : setTimeout(look, 10); look();
    })"""
    with chromium() as browser:
        seconds = []
        for _ in range(3):  # other work on the machine may slow one of them down
            seconds.append(browser.open(page))
            browser.run(drawn)
            seconds[-1] = browser.run("performance.now()") / 1000
            if seconds[-1] < 3:
                break
        assert min(seconds) < 3
        assert browser.run("document.title") == "2 runs"
        assert browser.run("document.querySelectorAll('figure').length") == len(PANELS) + 1  # seconds, for each run
        line = browser.run(
            "(() => { const t = document.querySelector('.plot').data.find(t => t.name); return [t.x, t.y]; })()"
        )
        whole = dict(zip(*read_run(folders[0]).series("train/accuracy"), strict=True))
        assert len(line[0]) <= 1202
        assert line[1] == pytest.approx([whole[step] for step in line[0]], rel=1e-4)
        assert max(line[1]) == pytest.approx(max(whole.values()), rel=1e-4)
        field = "document.getElementById('search')"
        browser.run(f"{field}.value = 'NUMBER 5001'; {field}.dispatchEvent(new Event('input'))")
        assert browser.run("document.getElementById('count').textContent") == "1 of 600"
        browser.click(".list button")
        assert browser.run("document.querySelector('.detail .text').textContent").startswith(HOSTILE + " number 5001")
        assert browser.run("document.querySelectorAll('math').length") == 1
        assert browser.run("document.querySelectorAll('.differs').length") == 2  # in the short table and in the whole
        assert browser.run("[...document.images].length") == 0
        assert not browser.errors
        assert [url for url in browser.requested if not url.startswith(("file:", "data:", "blob:"))] == []


def test_the_page_holds_no_markup_but_its_own(tmp_path: Path) -> None:
    run = make_run(tmp_path / HOSTILE.replace("/", "_"), [{"step": 1, HOSTILE: 1.0}], [sample(1, HOSTILE)])
    page = tmp_path / "report.html"
    write_report([run], page)
    text = page.read_text(encoding="utf-8")
    assert len(re.findall("<script", text)) == 3
    assert "'owned'</script>" not in text
