"""SIGTERM and SIGINT end a command in one line with their own status, and leave no process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from openrlhf.utils.signals import descendants

PROGRAM = """
import subprocess, sys, time
from openrlhf.cli.reading import run_command
from openrlhf.utils import signals

signals.GRACE_S = 1.0

def waits():
    time.sleep(60)

def computes():
    while True:
        pass

def swallows_once():
    try:
        time.sleep(60)
    except BaseException:
        pass
    signals.install()
    time.sleep(60)

def swallows_always():
    subprocess.Popen(["sleep", "61"])
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

def replaces_the_handlers():
    import signal
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(15))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signals.install()
    time.sleep(60)

def finishes_the_step():
    signals.defer()
    while signals.requested() is None:
        time.sleep(0.01)
    time.sleep(1.5)
    print("saved", flush=True)
    raise signals.Stopped(signals.requested())

def begin(config, notes, parsed):
    print("ready", flush=True)
    globals()[sys.argv[1]]()

sys.exit(run_command("train_sft", [], lambda config: (config, []), begin))
"""


def start(what: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, what], env=environment, text=True, **pipes)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("what", ["waits", "computes", "swallows_once", "replaces_the_handlers"])
def test_a_signal_ends_the_command_in_one_line(what: str, number: signal.Signals) -> None:
    process = start(what)
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert (out, err) == ("", f"ended by {number.name}\n")


def test_what_does_not_end_is_killed_with_all_that_it_started() -> None:
    process = start("swallows_always")
    deadline = time.monotonic() + 10
    while not (children := descendants(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 143
    assert err == "SIGTERM: still not at an end after 1 s, killed\n"
    assert len(children) == 1
    while not ended(children[0]) and time.monotonic() < deadline + 10:  # the kernel takes a moment on a busy machine
        time.sleep(0.05)
    assert ended(children[0])


def ended(pid: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def test_a_step_may_be_finished_first_and_a_second_signal_does_not_wait() -> None:
    process = start("finishes_the_step")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (143, "saved\n")
    assert err.splitlines()[-2:] == ["SIGTERM: ends after this step, with a checkpoint", "ended by SIGTERM"]
    process = start("finishes_the_step")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (130, "")
