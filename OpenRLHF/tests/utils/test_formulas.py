"""Formulas in text that a model wrote."""

import pytest

from openrlhf.utils.formulas import mathml, typeset


def test_formulas_are_set_and_the_text_around_them_stays() -> None:
    before, half, between, square, after = typeset(r"Take $\frac12$ and \[x^2\] now", [10])
    assert (before, between, after) == ("Take ", " and ", " now")
    assert isinstance(half, dict)
    assert isinstance(square, dict)
    assert half["source"] == r"$\frac12$"
    assert half["math"].startswith('<math display="inline">')
    assert "<mfrac>" in half["math"]
    assert square["math"].startswith('<math display="block">')
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in square["math"]


@pytest.mark.parametrize("text", ["costs $5 and $6 more", "no formula", "", "a $ b", "$" * 9, r"$\frac{$", "$ x $"])
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert "".join(part if isinstance(part, str) else part["source"] for part in typeset(text, [10])) == text
    assert all(isinstance(part, str) for part in typeset(text, [10]))


@pytest.mark.parametrize(
    "source",
    [
        r"\text{<script>alert(1)</script>}",
        r"\text{&lt;script&gt;}",
        r"\href{javascript:alert(1)}{x}",
        r"\style{background:url(//host)}{y}",
        r"\class{a\" onload=\"alert(1)}{z}",
        r"<img src=x onerror=alert(1)>",
        r"\mathbb{<b>}",
    ],
)
def test_hostile_formulas_bring_no_element_and_no_attribute_of_their_own(source: str) -> None:
    made = mathml(source) or ""
    for word in ("<script", "<img", "<b>", "href", "style=", "class=", 'onload="', "url("):
        assert word not in made.replace("&lt;", "&lt; ")


def test_a_budget_limits_what_a_page_sets() -> None:
    budget = [2]
    parts = typeset("$a$ $b$ $c$", budget)
    assert sum(isinstance(part, dict) for part in parts) == 2
    assert budget == [0]
    assert parts[-1] == " $c$"


def test_endless_nesting_and_long_formulas_stay_text() -> None:
    for text in ("$" + "{" * 900 + "}" * 90 + "$", "$" + "x" * 5000 + "$", r"$\sqrt" * 400 + "$"):
        assert "".join(p if isinstance(p, str) else p["source"] for p in typeset(text, [100])) == text
