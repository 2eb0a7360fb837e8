"""Reports and comparisons: figures by hand, and pages that load nothing and run nothing of a model's."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from openrlhf.cli.math_eval import main
from openrlhf.errors import UserError
from openrlhf.evaluation.figures import metrics
from openrlhf.evaluation.figures.comparison import compare, compare_sets
from openrlhf.evaluation.figures.records import Graded
from openrlhf.evaluation.figures.results import load_results
from openrlhf.evaluation.figures.scoring import Scored
from openrlhf.evaluation.generation.store import Sample
from openrlhf.evaluation.pages import charts
from openrlhf.evaluation.questions.problems import Problem

HOSTILE = (
    '</script><script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'"><!--<script>\u2028'
)
FORMULA = r" as $\frac{a}{b}$ shows "


def before(prompt, sample):
    return (
        {"1+1": r"\boxed{2}", "2+2": r"\boxed{4}", "3*3": r"\boxed{8}", "1/2": r"\boxed{2}"}[prompt] + FORMULA + HOSTILE
    )


def after(prompt, sample):
    return (
        {"1+1": r"\boxed{3}", "2+2": r"\boxed{4}", "3*3": r"\boxed{9}", "1/2": r"\boxed{0.5}"}[prompt]
        + FORMULA
        + HOSTILE
    )


@pytest.fixture
def two_runs(toy):
    """(folder before, folder after): 2 of 4 right, then 3 of 4; one lost, two won."""
    toy.output = toy.folder / "before"
    toy.run(before)
    toy.output = toy.folder / "after"
    toy.run(after)
    return toy.folder / "before", toy.folder / "after"


class Page(HTMLParser):
    """Elements, what they would load, and the embedded data."""

    def __init__(self, path):
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.data = ""
        self._inside = None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        self.loads += [values[name] for name in ("src", "href", "srcset", "poster") if name in values]
        self.handlers += [name for name in values if name.startswith("on")]
        self._inside = values.get("id")

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside == "data":
            self.data += data


@pytest.mark.parametrize("which", ["report", "comparison"])
def test_a_page_loads_nothing_and_runs_nothing_of_a_model(two_runs, tmp_path, which):
    a, b = two_runs
    path = tmp_path / "page.html"
    if which == "report":
        assert main(["--report", str(path), str(a), str(b)]) == 0
    else:
        assert main(["--compare", str(a), str(b), "--output_dir", str(tmp_path)]) == 0
        path = tmp_path / "compare.html"
    page = Page(path)
    assert page.loads == []
    assert page.handlers == []
    assert page.tags.count("script") == 3  # the data, their formulas and the page's own
    assert "img" not in page.tags
    texts = [s["text"] for group in json.loads(page.data) for p in group["problems"] for s in p["samples"]]
    assert texts
    assert all(text.endswith(HOSTILE) for text in texts)
    assert not re.search(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[a-z]", path.read_text().replace("</", ""))


@pytest.mark.parametrize("page", ["report", "comparison"])
def test_a_page_opens_in_chromium_and_stays_itself(two_runs, tmp_path, page):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    a, b = two_runs
    main(["--compare", str(a), str(b), "--output_dir", str(tmp_path)])
    main(["--report", str(tmp_path / "report.html"), str(a), str(b)])
    path = tmp_path / ("report.html" if page == "report" else "compare.html")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    shown = subprocess.run(
        [
            *(browser, *flags.split(), "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"file://{path}"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert "<title>owned" not in shown
    assert "Extracted answer" in shown  # written by the page's script, so it ran
    assert "&lt;img src=x" in shown  # the model's text is there, as text
    assert shown.count("<img") == 0
    assert "<mfrac>" in shown.split('id="detail"')[1].split("<script")[0]  # its formula is set


def test_the_table_shows_every_run_and_set_with_its_interval(two_runs, tmp_path):
    a, b = two_runs
    main(["--report", str(tmp_path / "r.html"), str(a), str(b)])
    text = (tmp_path / "r.html").read_text()
    low, high = (100 * end for end in metrics.wilson(3, 4))
    assert "<b>50.0</b>" in text
    assert f"<b>75.0</b><small>{low:.1f} – {high:.1f} · 4</small>" in text
    assert "2 runs on 1 set." in text


def test_a_report_of_nothing_says_what_is_missing(tmp_path, capsys):
    assert main(["--report", str(tmp_path / "r.html"), str(tmp_path)]) == 2
    assert "no finished set" in capsys.readouterr().err


def test_a_comparison_agrees_with_a_hand_calculation(two_runs, capsys, tmp_path):
    a, b = two_runs
    ((_, _, c),) = compare(a, b)
    assert (c.before.mean, c.after.mean, c.unpaired) == (0.5, 0.75, 0)
    assert [x.problem.index for x, _ in c.lost] == [0]
    assert [x.problem.index for x, _ in c.won] == [2, 3]
    # Differences -1, 0, 1, 1: mean 1/4, variance (25 + 1 + 9 + 9) / 16 / 3 = 11/12, error √(11/48).
    assert c.difference.mean == 0.25
    assert c.difference.high == pytest.approx(min(1, 0.25 + metrics.Z95 * (11 / 48) ** 0.5))
    assert c.p_value == 1.0  # one lost, two won: 2 · (1 + 3) / 8, at most 1
    main(["--compare", str(a), str(b), "--output_dir", str(tmp_path)])
    assert "lost rows 0; won rows 2, 3" in capsys.readouterr().out


def test_without_a_common_set_there_is_nothing_to_compare(two_runs, toy):
    a, _ = two_runs
    (toy.folder / "elsewhere" / "other_set").mkdir(parents=True)
    for path in (a / "toy").iterdir():
        shutil.copy(path, toy.folder / "elsewhere" / "other_set" / path.name)
    with pytest.raises(UserError, match="nothing to compare"):
        compare(a, toy.folder / "elsewhere")


def graded(index, *right, question="Q"):
    n = len(right)
    problem = Problem(index, question, "1")
    return Graded(problem, [Sample("", 1, "stop")] * n, [Scored("1", r, "string", True) for r in right], 0.0)


def test_several_samples_are_compared_by_their_share_and_other_problems_left_out():
    first = [graded(0, True, False), graded(1, False, False), graded(2, True, True), graded(9, True, True)]
    second = [
        graded(0, True, True),
        graded(1, False, True),
        graded(2, True, True),
        graded(9, True, question="R"),
    ]
    c = compare_sets("toy", first, second)
    assert (c.difference.mean, c.difference.n, c.unpaired) == (pytest.approx(1 / 3), 3, 2)
    assert (len(c.lost), len(c.won)) == (0, 2)


def test_names_of_runs_are_as_short_as_they_can_be_and_never_the_same(two_runs, toy):
    a, b = two_runs
    assert [r.run for r in load_results([a])] == ["model · none"]
    assert [r.run for r in load_results([a, b])] == ["model · none · before", "model · none · after"]
    toy.run(after, "--num_test_sample", "2")
    stems = ["test_none_-1_seed0_t0_s0_e-1", "test_none_2_seed0_t0_s0_e-1"]
    assert [r.run for r in load_results([b])] == [f"model · none · after · {stem}" for stem in stems]


def test_bars_escape_their_labels_and_show_their_values():
    drawn = charts.bars([("<b>set</b>", [charts.Bar(0, '"><script>', 0.5, 0.4, 0.6)])])
    assert "<b>" not in drawn
    assert "<script>" not in drawn
    assert "50.0 (" not in drawn
    assert "50.0% (40.0 – 60.0)" in drawn


def test_lengths_count_every_response_once():
    # 100 responses of one token and 100 of 47: bins of 2 tokens, so the first and the last hold a half each.
    assert charts._histogram([1] * 100 + [47] * 100, 2, 24) == [0.5] + [0.0] * 22 + [0.5]
