"""One thread per process that calls functions when their time has come: deadlines.

- *Ownership*: a lock guards the due times. The thread ``flagsmith-watchdog`` sleeps until the
  earliest of them and calls its function without the lock. It starts with the first watch and ends
  a second after nothing is left to watch, so that calls in quick succession share it.
- *Forks*: a child inherits nothing, with or without fork handlers: :class:`.PerProcess` makes
  another watchdog, as it does after gevent has patched. In a child, handles of the parent do
  nothing.
- *No thread left*: functions are then not called; the next watch tries to start the thread again.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Callable

from .. import logs
from .per_process import PerProcess
from .threads import make_thread

logger = logs.BackgroundLogger(logging.getLogger(__name__))

_IDLE_SECONDS = 1.0


class Watch:
    """The handle of a function that is to be called. Made by :func:`watch`."""

    def __init__(self, watchdog: _Watchdog) -> None:
        self._watchdog = watchdog

    def reschedule(self, seconds: float) -> None:
        """Moves the call to so many seconds from now, unless it was made already.

        :param seconds: may be in the past, then it is due at once.
        """
        self._watchdog.reschedule(self, time.monotonic() + seconds)

    def cancel(self) -> None:
        """Cancels the call. A call that has begun is not waited for."""
        self._watchdog.cancel(self)


def watch(seconds: float, callback: Callable[[], object]) -> Watch:
    """Calls a function in the watchdog's thread after so many seconds, unless it is cancelled.

    :param callback: must return at once, since all deadlines of the process share the thread: it
        may set a flag, notify a condition or shut a socket down; it must not wait for a lock that
        is held for long, nor log but through a :class:`~..logs.BackgroundLogger`.
    """
    return _watchdogs.get().add(time.monotonic() + seconds, callback)


class _Watchdog:
    """The due times and the thread of one process."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._watches: dict[Watch, tuple[float, Callable[[], object]]] = {}
        #: When the waiting thread looks again.
        self._wakes_at = -math.inf
        self._thread: threading.Thread | None = None

    def add(self, due: float, callback: Callable[[], object]) -> Watch:
        added = Watch(self)
        with self._changed:
            self._put(added, due, callback)
            if self._thread is None:
                thread = make_thread("flagsmith-watchdog", self._run)
                with contextlib.suppress(RuntimeError):
                    thread.start()
                    self._thread = thread
        return added

    def reschedule(self, moved: Watch, due: float) -> None:
        # In a forked child the lock may stay held, by a thread that only the parent has.
        if os.getpid() == self._pid:
            with self._changed:
                if moved in self._watches:
                    self._put(moved, due, self._watches[moved][1])

    def cancel(self, cancelled: Watch) -> None:
        if os.getpid() == self._pid:
            with self._changed:
                self._watches.pop(cancelled, None)
                if not self._watches:
                    self._changed.notify()

    def _put(self, watch: Watch, due: float, callback: Callable[[], object]) -> None:
        self._watches[watch] = due, callback
        if due < self._wakes_at:
            self._changed.notify()

    def _run(self) -> None:
        while (callback := self._next()) is not None:
            try:
                callback()
            except Exception:
                logger.exception(
                    "A deadline failed unexpectedly.", extra=logs.fields("deadline_crashed")
                )

    def _next(self) -> Callable[[], object] | None:
        """Waits for the next function that is due; ``None`` if there is none, or after a fork."""
        with self._changed:
            while os.getpid() == self._pid:
                was_idle = not self._watches
                due = min((due for due, _ in self._watches.values()), default=math.inf)
                now = time.monotonic()
                if due <= now:
                    first = next(watch for watch, (at, _) in self._watches.items() if at == due)
                    return self._watches.pop(first)[1]
                left = _IDLE_SECONDS if was_idle else min(due - now, threading.TIMEOUT_MAX)
                self._wakes_at = now + left
                if not self._changed.wait(left) and was_idle and not self._watches:
                    break
            self._thread = None
            return None


_watchdogs = PerProcess(_Watchdog)
