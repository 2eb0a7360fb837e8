"""The labelled pairs of `pairs/`, every one of them."""

from collections import Counter

import pytest
from labelled import labelled_pairs

from openrlhf.grading import GradingPolicy

PAIRS = labelled_pairs()


def test_the_table_has_enough_pairs_of_both_kinds_in_every_topic():
    assert len(PAIRS) >= 600
    kinds = Counter((pair.topic, pair.equal) for pair in PAIRS)
    for topic in {pair.topic for pair in PAIRS}:
        assert kinds[topic, True] >= 3
        assert kinds[topic, False] >= 3


@pytest.fixture(scope="module")
def verdicts(pool):
    return dict(zip(PAIRS, pool.grade_batch([(pair.prediction, pair.gold) for pair in PAIRS]), strict=True))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.topic}: {pair.reason}"[:60])
def test_every_labelled_pair_is_graded_as_labelled(pair, verdicts):
    assert verdicts[pair].equal == pair.equal, (pair, verdicts[pair])


def test_no_comparison_of_the_table_fails_inside(verdicts):
    assert not [pair for pair, verdict in verdicts.items() if verdict.how in ("error", "timeout", "worker_died")]


@pytest.mark.parametrize(
    ("prediction", "gold", "policy", "equal"),
    [
        ("2.884e16", "2.88e16", {"decimals": "rounded"}, True),
        ("2.886e16", "2.88e16", {"decimals": "rounded"}, False),
        ("2.884e16", "2.88e16", {}, False),
        (r"\pi", "3.14", {"decimals": "rounded"}, True),
        (r"\frac{1}{3}", "0.33", {"decimals": "rounded"}, True),
        (r"\frac{1}{3}", "0.34", {"decimals": "rounded"}, False),
        ("102", "100", {"decimals": "rounded", "tolerance": 0.03}, True),
        ("104", "100", {"decimals": "rounded", "tolerance": 0.03}, False),
        (r"5\text{ cm}", "5", {"units": "strict"}, False),
        (r"5\text{ cm}", r"5\text{ cm}", {"units": "strict"}, True),
        (r"5\text{ ways}", r"5\text{ arrangements}", {"units": "strict"}, False),
        (r"5\text{ ways}", r"5\text{ arrangements}", {}, True),
        ("3.141592654", r"\pi", {"long_decimals": "rounded"}, True),
        ("3.141592653", r"\pi", {"long_decimals": "rounded"}, False),
        ("3.14159265358979", r"\pi", {}, False),
        ("0.0833333333333333", r"\frac{1}{12}", {"long_decimals": "exact"}, False),
        (r"\\frac{1}{2}", r"\frac{1}{2}", {"escapes": "kept"}, False),
        (r"17 \bmod 5 = 2", "2", {"remainders": "kept"}, False),
        ("C_5^2", "10", {"combinations": "kept"}, False),
        ("2, 1", "1, 2", {"lists": "in_order"}, False),
        ("1, 2", "1,2", {"lists": "in_order"}, True),
        (r"\{2, 1\}", r"\{1, 2\}", {"lists": "in_order"}, True),
    ],
)
def test_a_convention_follows_the_policy(pool, prediction, gold, policy, equal):
    assert pool.submit(prediction, gold, GradingPolicy(**policy)).result().equal == equal
