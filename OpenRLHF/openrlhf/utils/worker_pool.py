"""Killable worker processes for work that may hang, exhaust memory or crash.

A job runs in a fresh Python process (started, never forked, since parents hold threads, CUDA or Ray) and
travels as JSON over a pipe, so nothing is unpickled. A job that exceeds its wall time or memory is killed
with its whole process group, the worker is replaced, and the job's future carries a named exception. Neither
signals nor multiprocessing are used: pools work in threads, in asyncio, in Ray actors and in daemonic
processes.
"""

import atexit
import contextlib
import ctypes
import importlib
import importlib.util
import json
import os
import queue
import select
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from openrlhf.errors import UserError

_HEADER = struct.Struct(">I")
_PR_SET_PDEATHSIG = 1
_BOOTSTRAP = "from openrlhf.utils.worker_pool import _serve; _serve()"


class WorkerFailure(RuntimeError):
    """A job that gave no result; the subclasses say why."""


class WorkerTimeout(WorkerFailure):
    """The job exceeded its wall time, `seconds`, and was killed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"a job took longer than {seconds:g} s and was killed")
        self.seconds = seconds


class WorkerDied(WorkerFailure):
    """The worker process ended during the job: out of memory, a crash, an exit."""


class WorkerError(WorkerFailure):
    """The job raised; the message holds the worker's traceback."""


class WorkerStartError(WorkerFailure):
    """The worker's initializer raised, or was not ready within `start_timeout`."""


class WorkerPool:
    """Workers that each run one job at a time.

    initializer: a function, "package.module:function" or "path/to/file.py:function". A worker calls it
        once, with `arguments` as keywords (JSON values), and it returns the function that maps a job's
        payload to its result, both JSON values.
    workers: number of processes; a process is started when there is a job for it, or by `start`.
    timeout: seconds of wall time for a job. Start-up and waiting in the queue do not count; start-up has its
        own limit, `start_timeout`.
    memory_bytes: limit on a worker's address space; None for no limit.

    Closing the pool (or leaving its `with` block) kills the workers; they die with their parent too.
    """

    def __init__(
        self,
        initializer: str | Callable[..., Callable[[Any], Any]],
        workers: int = 1,
        timeout: float = 5.0,
        memory_bytes: int | None = None,
        *,
        arguments: Mapping[str, Any] | None = None,
        start_timeout: float = 300.0,
    ) -> None:
        if workers < 1 or timeout <= 0:
            raise UserError(f"a worker pool got workers={workers} and timeout={timeout}; both must be above zero")
        self._start_message = {
            "initializer": _spell(initializer),
            "arguments": dict(arguments or {}),
            "memory_bytes": memory_bytes,
            "sys_path": [os.path.abspath(entry) for entry in sys.path],
        }
        self._timeout = timeout
        self._start_timeout = start_timeout
        self._size = workers
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._workers: set[_Worker] = set()
        self._pid = os.getpid()
        self._closed = False
        self.timeouts = 0
        self.deaths = 0
        _open_pools.add(self)

    def submit(self, payload: Any, timeout: float | None = None) -> "Future[Any]":
        """Queues one job; its future gives the result or raises a `WorkerFailure`.

        timeout: seconds for this job instead of the pool's.
        """
        job = _Job(_encode({"payload": payload}), timeout or self._timeout)
        with self._lock:
            if self._closed or self._pid != os.getpid():
                raise RuntimeError("this worker pool is closed, or belongs to the process this one was forked from")
            self._jobs.put(job)
            self._idle -= 1
            if self._idle < 0 and len(self._threads) < self._size:
                self._add_thread()
        return job.future

    def start(self) -> None:
        """Starts all workers now, so that the first jobs find them ready; does not wait for them."""
        with self._lock:
            while len(self._threads) < self._size:
                self._add_thread()

    def _add_thread(self) -> None:
        # The thread outlives its worker: Linux kills a child whose parent *thread* ends (see
        # `_die_with_parent`).
        thread = threading.Thread(target=self._run, name="worker-pool", daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Kills the workers; jobs that wait are cancelled, jobs that run fail with `WorkerDied`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            workers = list(self._workers)
            threads = list(self._threads)
        if self._pid != os.getpid():
            return
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    job.future.cancel()
        for worker in workers:
            worker.kill()
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5)

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _run(self) -> None:
        """One manager thread: starts its worker, feeds it jobs, replaces it when it is lost."""
        worker: _Worker | None = None
        try:
            while True:
                if worker is None and self._jobs.empty() and not self._closed:
                    with contextlib.suppress(WorkerFailure):
                        worker = self._start_worker()
                with self._lock:
                    self._idle += 1
                job = self._jobs.get()
                if job is None:
                    return
                if not job.future.set_running_or_notify_cancel():
                    continue
                worker = self._finish(job, worker)
        finally:
            if worker is not None:
                self._discard(worker)

    def _finish(self, job: "_Job", worker: "_Worker | None") -> "_Worker | None":
        """Runs one job, settles its future, and gives back the worker if it can be used again."""
        try:
            if worker is None or not worker.alive():
                if worker is not None:
                    self._discard(worker)
                    worker = None
                worker = self._start_worker()
            reply = worker.ask(job.message, job.timeout)
        except WorkerFailure as failure:
            if worker is not None:
                self._discard(worker)
            with self._lock:
                self.timeouts += isinstance(failure, WorkerTimeout)
                self.deaths += isinstance(failure, WorkerDied)
            job.future.set_exception(failure)
            return None
        if "error" in reply:
            job.future.set_exception(WorkerError(reply["error"]))
        else:
            job.future.set_result(reply["result"])
        return worker

    def _start_worker(self) -> "_Worker":
        worker = _Worker()
        with self._lock:
            closed = self._closed
            self._workers.add(worker)
        try:
            if closed:
                raise WorkerDied("the pool was closed")
            worker.introduce(self._start_message, self._start_timeout)
        except WorkerFailure:
            self._discard(worker)
            raise
        return worker

    def _discard(self, worker: "_Worker") -> None:
        worker.close()
        with self._lock:
            self._workers.discard(worker)


_open_pools: "weakref.WeakSet[WorkerPool]" = weakref.WeakSet()


@atexit.register
def _close_pools() -> None:
    for pool in list(_open_pools):
        pool.close()


class _Job:
    def __init__(self, message: bytes, timeout: float) -> None:
        self.message = message
        self.timeout = timeout
        self.future: Future[Any] = Future()


class _Worker:
    """The parent's end of one worker process."""

    def __init__(self) -> None:
        # The worker finds this package on the parent's sys.path, wherever the parent was started.
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOTSTRAP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin = self._process.stdin.fileno()
        self._stdout = self._process.stdout.fileno()
        os.set_blocking(self._stdin, False)
        self._killing = threading.Lock()

    def introduce(self, start_message: dict[str, Any], timeout: float) -> None:
        """Sends the set-up and waits until the initializer has returned."""
        try:
            reply = self.ask(_encode({**start_message, "parent": os.getpid()}), timeout)
        except WorkerFailure as failure:
            raise WorkerStartError(f"a worker did not start: {failure}") from failure
        if "error" in reply:
            raise WorkerStartError(f"the initializer of a worker raised:\n{reply['error']}")

    def ask(self, message: bytes, timeout: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        self._write(_HEADER.pack(len(message)) + message, deadline, timeout)
        (length,) = _HEADER.unpack(self._read(_HEADER.size, deadline, timeout))
        reply: dict[str, Any] = json.loads(self._read(length, deadline, timeout))
        if reply.get("fatal"):
            raise WorkerDied(reply["fatal"])
        return reply

    def _write(self, data: bytes, deadline: float, timeout: float) -> None:
        view = memoryview(data)
        while view:
            self._wait(self._stdin, select.POLLOUT, deadline, timeout)
            try:
                view = view[os.write(self._stdin, view) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise WorkerDied(self._obituary()) from error

    def _read(self, size: int, deadline: float, timeout: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._wait(self._stdout, select.POLLIN, deadline, timeout)
            part = os.read(self._stdout, min(size - len(parts), 1 << 20))
            if not part:
                raise WorkerDied(self._obituary())
            parts += part
        return bytes(parts)

    def _wait(self, descriptor: int, event: int, deadline: float, timeout: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not poll.poll(remaining * 1000):
            raise WorkerTimeout(timeout)

    def _obituary(self) -> str:
        self.kill()
        return f"the worker process ended during a job (exit status {self._process.returncode})"

    def alive(self) -> bool:
        """Whether the process runs. A dead one is left unreaped, so that its group id stays its own."""
        if self._process.returncode is not None:
            return False
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def kill(self) -> None:
        """Kills the worker and everything it started in its process group."""
        with self._killing:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def close(self) -> None:
        """Kills the worker and closes its pipes; for the thread that talks to it."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode("ascii")


def _spell(initializer: str | Callable[..., Any]) -> str:
    """The name under which a worker can import the initializer."""
    if isinstance(initializer, str):
        module, _, name = initializer.rpartition(":")
    else:
        module, name = initializer.__module__, initializer.__qualname__
        if module == "__main__":
            module = os.path.abspath(sys.modules["__main__"].__file__ or "")
    if not module or not name.isidentifier():
        raise UserError(
            f"a worker's initializer is {initializer!r}; expected a function at the top level of a module, "
            f"'package.module:function' or 'path/to/file.py:function'"
        )
    if module.endswith(".py") and not os.path.isfile(module):
        raise UserError(f"the file of a worker's initializer, {module!r}, does not exist; check the path")
    return f"{os.path.abspath(module) if module.endswith('.py') else module}:{name}"


# The worker's side.


def _serve() -> None:
    """Body of a worker process: set up once, then answer jobs until the pipe closes."""
    # Jobs may print and may read standard input; the protocol keeps descriptors of its own.
    incoming, outgoing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    start = _receive(incoming)
    if start is None:
        return
    _die_with_parent(start["parent"])
    try:
        sys.path[:] = start["sys_path"]
        _limit_memory(start["memory_bytes"])
        work = _load(start["initializer"])(**start["arguments"])
    except BaseException:
        _send(outgoing, {"error": traceback.format_exc()})
        return
    _send(outgoing, {"result": None})
    while (job := _receive(incoming)) is not None:
        _send(outgoing, _answer(work, job["payload"]))


def _answer(work: Callable[[Any], Any], payload: Any) -> dict[str, Any]:
    try:
        reply = {"result": work(payload)}
        json.dumps(reply)
        return reply
    except MemoryError:
        return {"fatal": "a job needed more memory than its worker may use, and was killed"}
    except Exception:
        return {"error": traceback.format_exc()}


def _receive(descriptor: int) -> Any:
    header = _read_exactly(descriptor, _HEADER.size)
    if header is None:
        return None
    body = _read_exactly(descriptor, _HEADER.unpack(header)[0])
    return None if body is None else json.loads(body)


def _read_exactly(descriptor: int, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = os.read(descriptor, min(size - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


def _send(descriptor: int, message: dict[str, Any]) -> None:
    data = _encode(message)
    view = memoryview(_HEADER.pack(len(data)) + data)
    while view:
        view = view[os.write(descriptor, view) :]


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _limit_memory(memory_bytes: int | None) -> None:
    if memory_bytes is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _load(name: str) -> Callable[..., Any]:
    module_name, _, function = name.rpartition(":")
    if not module_name.endswith(".py"):
        return getattr(importlib.import_module(module_name), function)
    spec = importlib.util.spec_from_file_location("_worker_initializer", module_name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return getattr(module, function)
