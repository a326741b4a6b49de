"""The time limit of a whole API call.

Requests limits each wait for bytes, but not the whole call: an answer that comes in drops can take
forever. The process's watchdog therefore shuts down the connections of a call that takes too long.
"""

from __future__ import annotations

import threading
import time

from ..processes import watch
from .sockets import Sockets


class Deadline:
    """Ends a call that takes too long. Used as a ``with`` statement around the call.

    Where the system allows no further thread, each wait for bytes is still limited by itself.

    :param sockets: those of the call. They serve one call at a time.
    :param seconds: how long the call may take.
    """

    def __init__(self, sockets: Sockets, seconds: float) -> None:
        self._sockets = sockets
        self._seconds = seconds
        self._lock = threading.Lock()
        self._is_over = False
        #: ``True`` if the time ran out before the call ended.
        self.passed = False

    def __enter__(self) -> Deadline:
        self._sockets.begin()
        self._watch = watch(self._seconds, self._expire)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_over = True
        self._watch.cancel()

    def extend(self, at: float) -> None:
        """Moves the end of the call to another moment of the monotonic clock."""
        self._watch.reschedule(at - time.monotonic())

    def _expire(self) -> None:
        # With the lock, so that the next call's connections are never shut down instead.
        with self._lock:
            if not self._is_over:
                self.passed = True
                self._sockets.interrupt()
