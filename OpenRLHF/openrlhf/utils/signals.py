"""SIGTERM and SIGINT end a command in one line, wherever it is, and leave no process behind.

The first signal raises `Stopped` in the main thread, which takes everything down as any error would. Libraries that
swallow it or wait in C are outlived: a thread ends the process, with all that it started, `GRACE_S` later.
"""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from openrlhf.utils.console import err

GRACE_S = 20.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """A signal asked for an end; `number` is the signal's. No `Exception`, since nothing should mend it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def status(self) -> int:
        """Of the process: 143 after SIGTERM, 130 after SIGINT."""
        return 128 + self.number


class _State:
    """received: the first signal. deferring: whether somebody asks for it with `requested`. handling: whether the
    handlers are this module's."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.deferring = False
        self.handling = False


_state = _State()


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Signals raise `Stopped` within the block. Only in a main thread; elsewhere nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    woken = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), name="signals", daemon=True).start()
    _state.received, _state.deferring, _state.handling = None, False, True
    install()
    try:
        yield
    finally:
        _state.handling = False
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        writer.close()


def install() -> None:
    """Takes the handlers back from a library that has put its own in their place; raises what it swallowed."""
    if not _state.handling:
        return
    for number in _SIGNALS:
        signal.signal(number, _handle)
    if _state.received is not None and not _state.deferring:
        raise Stopped(_state.received)


def defer() -> None:
    """From now on the first signal is only kept, for `requested`; a second one still raises `Stopped`."""
    _state.deferring = True


def requested() -> int | None:
    """The signal that was kept, if there was one."""
    return _state.received


def _handle(number: int, frame: Any) -> None:
    first, _state.received = _state.received is None, number
    if first and _state.deferring:
        print(f"\n{signal.Signals(number).name}: ends after this step, with a checkpoint", file=err(), flush=True)
        return
    for ignored in _SIGNALS:
        signal.signal(ignored, signal.SIG_IGN)  # the end is under way
    raise Stopped(number)


def _watch(reader: socket.socket) -> None:
    """Runs in a thread: Python's own handlers wait for the main thread, which may wait for somebody else."""
    with reader:
        deferred = _state.deferring
        while data := reader.recv(64):
            numbers = [number for number in data if number in _SIGNALS]
            if not numbers or (_state.deferring and not deferred):
                deferred = deferred or bool(numbers)
                continue
            time.sleep(GRACE_S)
            if not _state.handling:
                return
            name = signal.Signals(numbers[0]).name
            print(f"{name}: still not at an end after {GRACE_S:g} s, killed", file=err(), flush=True)
            for process in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, signal.SIGKILL)
            os._exit(128 + numbers[0])


def descendants(process: int) -> list[int]:
    """Processes that this one started, and those that they started. Linux; elsewhere none are found."""
    children: dict[int, list[int]] = {}
    with contextlib.suppress(OSError):
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                parent = int(stat.read().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found, waiting = [], [process]
    while waiting:
        own = children.get(waiting.pop(), [])
        found += own
        waiting += own
    return found
