"""Full responses with a gold answer, labelled by whether the answer that they name is right: `responses.jsonl`."""

import json
from pathlib import Path

import pytest

from openrlhf.grading import grade_responses

LINES = (Path(__file__).parent / "responses.jsonl").read_text(encoding="utf-8").split("\n")
RESPONSES = [json.loads(line) for line in LINES if line]


@pytest.fixture(scope="module")
def graded(pool):
    return grade_responses([r["response"] for r in RESPONSES], [r["gold"] for r in RESPONSES], pool=pool)


@pytest.mark.parametrize("index", range(len(RESPONSES)), ids=lambda index: RESPONSES[index]["why"])
def test_a_response_is_graded_as_labelled(index, graded):
    assert graded[index].verdict.equal == RESPONSES[index]["equal"], (RESPONSES[index], graded[index])


def test_right_and_wrong_responses_are_both_there():
    assert sum(r["equal"] for r in RESPONSES) > 200
    assert sum(not r["equal"] for r in RESPONSES) > 100
