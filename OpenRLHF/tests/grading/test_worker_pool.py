"""Killable workers: results, errors, limits, replacement, and no process left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from openrlhf.errors import UserError
from openrlhf.utils.worker_pool import (
    WorkerDied,
    WorkerError,
    WorkerPool,
    WorkerStartError,
    WorkerTimeout,
)

JOBS = """
import os, subprocess, sys, time

def make(offset=0):
    def work(job):
        kind = job["kind"]
        if kind == "add":
            return job["a"] + job["b"] + offset
        if kind == "pid":
            return os.getpid()
        if kind == "sleep":
            time.sleep(job["seconds"])
            return "slept"
        if kind == "hang":
            while True:
                pass
        if kind == "bits":
            return (1 << job["bits"]).bit_length()
        if kind == "memory":
            return len(bytearray(job["bytes"]))
        if kind == "exit":
            os._exit(3)
        if kind == "raise":
            raise ValueError("this job raises")
        if kind == "print":
            print("to standard output", flush=True)
            return sys.stdin.read()
        if kind == "child":
            child = subprocess.Popen(["sleep", "300"])
            with open(job["file"], "w") as out:
                out.write(str(child.pid))
            time.sleep(300)
    return work

def slow():
    time.sleep(1.5)
    return make()

def broken():
    raise RuntimeError("no such model")
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    file = tmp_path_factory.mktemp("jobs") / "jobs.py"
    file.write_text(textwrap.dedent(JOBS))
    return str(file)


@pytest.fixture
def pool(jobs):
    with WorkerPool(f"{jobs}:make", workers=1, timeout=1.0, memory_bytes=1 << 30) as pool:
        yield pool


def _gone(pid: int, within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_results_come_back_for_their_own_jobs(jobs):
    with WorkerPool(f"{jobs}:make", workers=2, timeout=5.0, arguments={"offset": 100}) as pool:
        futures = [pool.submit({"kind": "add", "a": i, "b": i}) for i in range(50)]
        assert [future.result() for future in futures] == [2 * i + 100 for i in range(50)]


def test_a_worker_is_used_again(pool):
    assert pool.submit({"kind": "pid"}).result() == pool.submit({"kind": "pid"}).result()


def test_a_hanging_job_is_killed_and_its_worker_replaced(pool):
    pid = pool.submit({"kind": "pid"}).result()
    started = time.monotonic()
    with pytest.raises(WorkerTimeout):
        pool.submit({"kind": "hang"}).result()
    assert time.monotonic() - started < 2
    assert _gone(pid)
    assert pool.submit({"kind": "add", "a": 1, "b": 2}).result() == 3
    assert pool.timeouts == 1


def test_a_timeout_kills_what_the_job_started_too(pool, tmp_path):
    file = tmp_path / "pid"
    with pytest.raises(WorkerTimeout):
        pool.submit({"kind": "child", "file": str(file)}).result()
    assert _gone(int(file.read_text()))


def test_a_job_that_wants_too_much_memory_fails_by_name(pool):
    with pytest.raises(WorkerDied, match="memory"):
        pool.submit({"kind": "memory", "bytes": 2 << 30}).result()
    assert pool.submit({"kind": "add", "a": 1, "b": 2}).result() == 3


def test_a_worker_that_exits_fails_its_job_and_no_other(pool):
    with pytest.raises(WorkerDied, match="exit status 3"):
        pool.submit({"kind": "exit"}).result()
    assert pool.submit({"kind": "add", "a": 1, "b": 2}).result() == 3
    assert pool.deaths == 1


def test_an_idle_worker_that_was_killed_is_replaced(pool):
    os.kill(pool.submit({"kind": "pid"}).result(), signal.SIGKILL)
    time.sleep(0.2)
    assert pool.submit({"kind": "add", "a": 1, "b": 2}).result() == 3


def test_a_job_that_raises_says_so_with_its_traceback(pool):
    with pytest.raises(WorkerError, match="this job raises"):
        pool.submit({"kind": "raise"}).result()


def test_printing_and_reading_do_not_disturb_the_protocol(pool):
    assert pool.submit({"kind": "print"}).result() == ""
    assert pool.submit({"kind": "add", "a": 1, "b": 2}).result() == 3


def test_start_up_is_not_charged_to_the_first_job(jobs):
    with WorkerPool(f"{jobs}:slow", timeout=1.0) as pool:
        assert pool.submit({"kind": "add", "a": 1, "b": 2}).result() == 3


def test_an_initializer_that_raises_fails_the_job_with_its_reason(jobs):
    with (
        WorkerPool(f"{jobs}:broken", timeout=1.0) as pool,
        pytest.raises(WorkerStartError, match="no such model"),
    ):
        pool.submit({}).result()


def test_mistakes_in_the_call_are_named():
    with pytest.raises(UserError, match="workers=0"):
        WorkerPool("json:loads", workers=0)
    with pytest.raises(UserError, match="does not exist"):
        WorkerPool("/no/such/file.py:make")
    with pytest.raises(UserError, match="top level of a module"):
        WorkerPool("make")
    with pytest.raises(UserError, match="top level"):
        WorkerPool(lambda: None)


def test_closing_kills_a_running_job_at_once(jobs):
    pool = WorkerPool(f"{jobs}:make", timeout=60)
    pid = pool.submit({"kind": "pid"}).result()
    future = pool.submit({"kind": "hang"})
    time.sleep(0.3)
    started = time.monotonic()
    pool.close()
    assert time.monotonic() - started < 3
    assert _gone(pid)
    with pytest.raises(WorkerDied):
        future.result(timeout=1)
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit({"kind": "pid"})


def test_many_threads_may_share_a_pool(jobs):
    results = {}

    def ask(number: int) -> None:
        results[number] = pool.submit({"kind": "add", "a": number, "b": 0}).result()

    with WorkerPool(f"{jobs}:make", workers=2, timeout=5.0) as pool:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == {number: number for number in range(20)}


def _run(script: str, *arguments: str) -> subprocess.Popen:
    path = os.pathsep.join(sys.path)
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_workers_die_with_a_parent_that_was_killed(jobs):
    script = """
        import sys
        from openrlhf.utils.worker_pool import WorkerPool
        pool = WorkerPool(sys.argv[1] + ":make", timeout=600)
        print(pool.submit({"kind": "pid"}).result(), flush=True)
        pool.submit({"kind": "hang"}).result()
    """
    parent = _run(script, jobs)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    assert _gone(worker)


def test_a_daemonic_process_may_have_workers(jobs):
    script = """
        import multiprocessing, sys
        from openrlhf.utils.worker_pool import WorkerPool
        def child(jobs):
            with WorkerPool(jobs + ":make", timeout=20) as pool:
                print(pool.submit({"kind": "add", "a": 1, "b": 2}).result(), flush=True)
        process = multiprocessing.get_context("fork").Process(target=child, args=(sys.argv[1],), daemon=True)
        process.start()
        process.join()
    """
    assert _run(script, jobs).communicate(timeout=60)[0].strip() == "3"
