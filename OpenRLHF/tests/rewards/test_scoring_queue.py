"""Rows of several requests in one line: batches, order, failures, cancelled requests."""

import threading

import pytest

from openrlhf.rewards.scoring_queue import ScoringQueue


class Scorer:
    """The reward of a row is its sum. Scores only while `open` is set; negative tokens cannot be scored."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.started = threading.Event()
        self.batches: list[list[list[int]]] = []

    def score(self, rows):
        self.batches.append([list(row) for row in rows])
        self.started.set()
        assert self.open.wait(20)
        if any(token < 0 for row in rows for token in row):
            raise ArithmeticError("a negative token")
        return [float(sum(row)) for row in rows]


@pytest.fixture
def scorer():
    return Scorer()


def busy(scorer, queue):
    """Occupies the only worker until `scorer.open` is set."""
    scorer.open.clear()
    future = queue.submit([[100]])
    assert scorer.started.wait(20)
    return future


def test_rewards_come_back_in_the_order_of_their_rows(scorer):
    queue = ScoringQueue([scorer], workers=3, batch_size=2)
    futures = [queue.submit([[n], [n, 1], [n, 2]]) for n in range(20)]
    assert [future.result(20) for future in futures] == [[n, n + 1, n + 2] for n in range(20)]
    queue.close()


def test_a_batch_takes_rows_of_as_many_requests_as_fit(scorer):
    queue = ScoringQueue([scorer], workers=1, batch_size=3)
    first = busy(scorer, queue)
    rest = [queue.submit([[1], [2]]), queue.submit([[3], [4]]), queue.submit([[5]])]
    assert queue.waiting == 5
    scorer.open.set()
    assert [future.result(20) for future in [first, *rest]] == [[100.0], [1.0, 2.0], [3.0, 4.0], [5.0]]
    assert scorer.batches == [[[100]], [[1], [2], [3]], [[4], [5]]]
    queue.close()


def test_without_a_batch_size_each_request_is_a_batch(scorer):
    queue = ScoringQueue([scorer], workers=1, batch_size=None)
    busy(scorer, queue)
    queue.submit([[1], [2]])
    last = queue.submit([[3], [4]])
    scorer.open.set()
    assert last.result(20) == [3.0, 4.0]
    assert scorer.batches == [[[100]], [[1], [2]], [[3], [4]]]
    queue.close()


def test_a_request_that_fails_gets_the_error_and_the_next_one_its_rewards(scorer):
    queue = ScoringQueue([scorer], workers=1, batch_size=1)
    bad, good = queue.submit([[1], [-1], [2]]), queue.submit([[3]])
    with pytest.raises(ArithmeticError, match="negative"):
        bad.result(20)
    assert good.result(20) == [3.0]
    queue.close()


def test_rows_of_a_cancelled_request_are_not_scored(scorer):
    queue = ScoringQueue([scorer], workers=1, batch_size=2)
    first = busy(scorer, queue)
    given_up, wanted = queue.submit([[1], [2], [3]]), queue.submit([[4]])
    assert given_up.cancel()
    scorer.open.set()
    assert (first.result(20), wanted.result(20)) == ([100.0], [4.0])
    assert scorer.batches == [[[100]], [[4]]]
    queue.close()


def test_closing_scores_what_is_in_line_and_takes_nothing_more(scorer):
    queue = ScoringQueue([scorer], workers=1, batch_size=1)
    futures = [queue.submit([[n]]) for n in range(5)]
    queue.close()
    assert [future.result(0) for future in futures] == [[float(n)] for n in range(5)]
    with pytest.raises(RuntimeError, match="closed"):
        queue.submit([[1]])


def test_a_request_without_rows_has_no_rewards(scorer):
    queue = ScoringQueue([scorer], workers=1, batch_size=1)
    assert queue.submit([]).result(0) == []
    queue.close()
