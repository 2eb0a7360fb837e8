"""Runs Python that a model wrote, confined: no network, no files of this machine, little time and memory.

Each program gets a process tree of its own, in namespaces of its own (`unshare`, Linux): no network
interface, a file system that holds Python and its libraries read-only and an empty /tmp in memory, no other
process to see, no privilege, limits on CPU time, memory, file size and number of processes. When its wall
time is over the whole tree is killed. Where the machine allows no namespaces, nothing is run.
"""

import contextlib
import functools
import os
import selectors
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from openrlhf.errors import UserError

_INSIDE = Path(__file__).with_name("sandbox_inside.py")
_OUTPUT_BYTES = 1 << 16


@dataclass(frozen=True)
class Limits:
    """Of one program. processes bounds what it may start; file_bytes is the size of its whole /tmp."""

    wall_seconds: float = 10.0
    cpu_seconds: int = 8
    memory_bytes: int = 1 << 30
    file_bytes: int = 16 << 20
    processes: int = 32


@dataclass(frozen=True)
class Outcome:
    """What a program printed (both streams, cut at 64 KiB), whether it ended well, and how it ended.

    reason: "done", "error" (it raised, or a limit stopped it), "timeout", or "too much output".
    """

    output: str
    ok: bool
    reason: str


def run(program: str, limits: Limits | None = None) -> Outcome:
    """Runs one program. Raises UserError where this machine cannot confine it."""
    require()
    return _run(program, limits or Limits())


def run_all(programs: Sequence[str]) -> list[str]:
    """What each program printed, for the model to read; at most one program per core at a time."""
    with ThreadPoolExecutor(max_workers=max(1, (os.cpu_count() or 1))) as threads:
        outcomes = list(threads.map(run, programs))
    stopped = {"timeout": "\nTimeoutError: stopped", "too much output": "\n… (too much output, stopped)"}
    return [o.output + stopped.get(o.reason, "") for o in outcomes]


@functools.cache
def require() -> None:
    """Raises UserError unless a program can be confined here; tried out once with a harmless one."""
    advice = "Leave --allow_code_execution out, or use a prompt type that needs no programs (cot, qwen25-math-cot)"
    if sys.platform != "linux" or shutil.which("unshare") is None:
        raise UserError(f"programs can be confined on Linux with util-linux's unshare only. {advice}")
    trial = _run("print(6 * 7)", Limits())
    if trial.output.strip() != "42":
        raise UserError(
            f"this machine does not let programs be confined "
            f"({trial.output.strip()[-300:] or trial.reason}); "
            f"user namespaces are needed (kernel.unprivileged_userns_clone, or a container that allows "
            f"them). {advice}"
        )


def _run(program: str, limits: Limits) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="openrlhf-sandbox-") as root:
        process = subprocess.Popen(
            [*_unshare(), sys.executable, "-I", "-S", str(_INSIDE), *_inside_arguments(root, limits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={
                "PATH": "/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "OPENBLAS_NUM_THREADS": "1",
                "OMP_NUM_THREADS": "1",
            },
            start_new_session=True,
        )
        try:
            output, stopped = _converse(process, program.encode("utf-8", "replace"), limits.wall_seconds)
        finally:
            # unshare --kill-child takes the namespace's first process along, and the kernel ends the rest.
            _kill(process)
    text = output.decode("utf-8", "replace")
    if stopped:
        return Outcome(text, False, stopped)
    return Outcome(text, process.returncode == 0, "done" if process.returncode == 0 else "error")


def _unshare() -> list[str]:
    """New namespaces for everything; without root's rights inside a user namespace of its own."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child=KILL"]


def _inside_arguments(root: str, limits: Limits) -> list[str]:
    numbers = [limits.cpu_seconds, limits.memory_bytes, limits.file_bytes, limits.processes]
    return [root, *map(str, numbers), *_visible_folders()]


def _visible_folders() -> list[str]:
    """Folders that Python needs to run and to import what is installed; they are shown read-only."""
    wanted = [
        sys.prefix,
        sys.base_prefix,
        *site.getsitepackages(),
        "/usr/lib",
        "/usr/lib64",
        "/lib",
        "/lib64",
    ]
    wanted.append(str(Path(sys.executable).resolve().parent))
    folders = sorted({os.path.abspath(folder) for folder in wanted if os.path.isdir(folder)}, key=len)
    chosen: list[str] = []
    for folder in folders:
        if not any(folder.startswith(f"{shown}/") for shown in chosen):
            chosen.append(folder)
    return chosen


def _converse(process: subprocess.Popen, program: bytes, seconds: float) -> tuple[bytes, str]:
    """Hands the program over and reads what comes back; the second value says what cut it short, if any."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it ended at once; what it said is read below
        process.stdin.write(program)
        process.stdin.close()
    deadline = time.monotonic() + seconds
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            piece = os.read(process.stdout.fileno(), _OUTPUT_BYTES)
            output += piece
            if len(output) > _OUTPUT_BYTES:
                return output[:_OUTPUT_BYTES], "too much output"
            if not piece:
                break
        else:
            return output, "timeout"
    try:
        process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return output, "timeout"
    return output, ""


def _kill(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
