"""Runs a call in a thread of its own, so that waiting for it can have a limit."""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """A call that has been started. Its thread is a daemon: a call that never returns keeps no process alive.

    Gradients are off in the thread, and the caller's GPU is its GPU; both are settings of a thread in torch.
    """

    def __init__(self, function: Callable[..., T], *arguments: Any) -> None:
        import torch

        self._result: T
        self._error: BaseException | None = None
        self._device = torch.cuda.current_device() if torch.cuda.is_available() else None
        self._thread = threading.Thread(target=self._run, args=(function, arguments), daemon=True)
        self._thread.start()

    def _run(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> None:
        import torch

        try:
            if self._device is not None:
                torch.cuda.set_device(self._device)
            with torch.no_grad():
                self._result = function(*arguments)
        except BaseException as error:
            self._error = error

    def failed(self) -> bool:
        """Whether the call has already ended with an error."""
        return self._error is not None

    def result(self, limit_s: float | None = None) -> T:
        """Waits for the call and returns what it returned, or raises what it raised.

        Raises: TimeoutError after `limit_s` seconds; the call goes on, unattended.
        """
        self._thread.join(limit_s)
        if self._thread.is_alive():
            raise TimeoutError(f"not done after {limit_s:g} s")
        if self._error is not None:
            raise self._error
        return self._result
