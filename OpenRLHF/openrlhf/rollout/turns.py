"""Generation and weight updates take turns in one engine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Generation goes step by step; an update that is waiting comes before the next step.

    Without threads nobody ever waits here.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._stepping = self._updating = False

    @contextmanager
    def step(self) -> Iterator[None]:
        """Nothing else happens meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: not self._updating and not self._stepping)
            self._stepping = True
        try:
            yield
        finally:
            with self._changed:
                self._stepping = False
                self._changed.notify_all()

    def begin_update(self) -> None:
        """Returns when no step is under way; none begins before `end_update`."""
        with self._changed:
            self._updating = True
            self._changed.wait_for(lambda: not self._stepping)

    def end_update(self) -> None:
        with self._changed:
            self._updating = False
            self._changed.notify_all()
