"""The grading interface: one pair, a batch, asyncio, threads, and a process of its own for each process."""

import asyncio
import subprocess
import sys
import threading

import pytest

from openrlhf.errors import UserError
from openrlhf.grading import GradingPolicy, GradingPool, grade, grade_responses


def test_a_batch_keeps_its_order(pool):
    pairs = [(str(i), "7") if i % 2 else (f"{i}x", "6x") for i in range(20)]
    assert [i for i, verdict in enumerate(pool.grade_batch(pairs)) if verdict.equal] == [6, 7]


@pytest.mark.parametrize(
    ("prediction", "gold", "how"),
    [
        ("5", " 5", "string"),
        ("0.5", r"\frac{1}{2}", "number"),
        (r"\sqrt{8}", r"2\sqrt{2}", "expression"),
        ("x > 2", r"(2, \infty)", "structure"),
        ("East", r"\text{east}", "text"),
        (r"\int_0^1 2x \, dx", "1", "symbolic"),
    ],
)
def test_a_verdict_says_how_it_was_found(pool, prediction, gold, how):
    verdict = pool.submit(prediction, gold).result()
    assert (verdict.equal, verdict.how) == (True, how)
    assert verdict.seconds > 0


@pytest.mark.parametrize(
    ("prediction", "gold", "how"),
    [
        (None, "5", "no_answer"),
        ("", "5", "no_answer"),
        ("1" * 3000, "5", "too_long"),
        ("9^{9^{9^9}}", "5", "too_complex"),
    ],
)
def test_a_pair_that_cannot_be_compared_says_why(pool, prediction, gold, how):
    verdict = pool.submit(prediction, gold).result()
    assert (verdict.equal, verdict.how) == (False, how)


def test_asyncio_is_not_blocked(pool):
    async def both() -> list[bool]:
        verdicts = await asyncio.gather(pool.grade_async("x+x", "2x"), pool.grade_async("x+x", "3x"))
        return [verdict.equal for verdict in verdicts]

    assert asyncio.run(both()) == [True, False]


def test_one_pair_can_be_graded_from_any_thread():
    verdicts = []
    threads = [threading.Thread(target=lambda: verdicts.append(grade("x+x", "2x").equal)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == [True] * 4


def test_plain_answers_start_no_process():
    script = (
        "import subprocess\n"
        "def refuse(*a, **k): raise AssertionError('a process was started')\n"
        "subprocess.Popen.__init__ = refuse\n"
        "from openrlhf.grading import grade\n"
        "assert grade('1/2', '0.5').equal and not grade('10,000', '10001').equal\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_importing_grading_is_light():
    script = (
        "import sys, openrlhf.grading\n"
        "assert not {'sympy', 'torch', 'mpmath', 'latex2sympy2_extended', 'ray'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_responses_are_extracted_and_graded_against_their_golds(pool):
    graded = grade_responses([r"so \boxed{2x}", "I give up", r"\boxed{3}"], ["x+x", "5", "4"], pool=pool)
    assert [(one.extracted, one.verdict.equal) for one in graded] == [
        ("2x", True),
        (None, False),
        ("3", False),
    ]
    assert graded[1].verdict.how == "no_answer"


def test_a_closed_pool_says_so():
    pool = GradingPool(workers=1)
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit("x+x", "2x").result()


@pytest.mark.parametrize("wrong", [{"decimals": "fuzzy"}, {"lists": "sorted"}, {"tolerance": 2.0}, {"max_length": 0}])
def test_a_policy_that_does_not_exist_is_refused(wrong):
    with pytest.raises(UserError, match="expected"):
        GradingPolicy(**wrong)


@pytest.mark.slow
def test_grading_works_inside_of_a_ray_task():
    script = (
        "import ray\n"
        "from openrlhf.utils.ray_connection import start_local_ray\n"
        "start_local_ray(num_cpus=1, log_to_driver=False)\n"
        "@ray.remote\n"
        "def task():\n"
        "    from openrlhf.grading import GradingPool\n"
        "    with GradingPool(workers=1, timeout=1.0) as pool:\n"
        "        pairs = [('x+x', '2x'), (r'\\sum_{n=1}^{10^{12}} \\sin(n)', '5'), ('x', '2x')]\n"
        "        return [(v.equal, v.how) for v in pool.grade_batch(pairs)]\n"
        "print(ray.get(task.remote()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[(True, 'expression'), (False, 'timeout'), (False, 'expression')]")
