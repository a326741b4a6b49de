"""How long a call of the API may take, in all.

Requests bounds each wait for something to arrive, and so never ends a call whose answer comes in
drops. Here a thread looks at the clock, and ends the call's connections when its time is up.
"""

from __future__ import annotations

import contextlib
import threading
import time

from ..processes import make_thread
from .sockets import Sockets


class Deadline:
    """Ends a call that takes too long: a ``with`` statement around it.

    :param sockets: those of the call. There is one call at a time.
    :param seconds: how long it may take.
    """

    def __init__(self, sockets: Sockets, seconds: float) -> None:
        self._sockets = sockets
        self._changed = threading.Condition()
        self._at: float | None = time.monotonic() + seconds
        #: Whether the time was up before the call was over.
        self.passed = False

    def __enter__(self) -> Deadline:
        self._sockets.begin()
        with contextlib.suppress(RuntimeError):
            # If there can be no more threads, each wait for something still ends by itself.
            make_thread("flagsmith-deadline", self._watch).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._move(None)

    def extend(self, at: float) -> None:
        """Give the call time up to another moment, by the monotonic clock."""
        self._move(at)

    def _move(self, at: float | None) -> None:
        with self._changed:
            self._at = at
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while self._at is not None:
                left = self._at - time.monotonic()
                if left <= 0:
                    self.passed = True
                    self._sockets.interrupt()
                    return
                self._changed.wait(left)
