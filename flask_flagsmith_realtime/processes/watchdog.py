"""One thread per process that calls functions when their time has come: deadlines.

- *Ownership*: a lock guards the heap of due times. The thread ``flagsmith-watchdog`` sleeps until
  the earliest of them and calls its function without the lock. It starts with the first watch and
  ends a second after nothing is left to watch, so that calls in quick succession share it.
- *Forks*: each process has a watchdog of its own, found by its process id, so a child inherits
  nothing, with or without fork handlers. In a child, handles of the parent do nothing.
- *gevent*: before and after its patching there are two watchdogs, since locks of both kinds do not
  mix.
- *No thread left*: functions are then not called; the next watch tries to start the thread again.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable

from .. import logs
from .gevent_support import greenlets_are_threads
from .threads import make_thread

logger = logs.BackgroundLogger(logging.getLogger(__name__))

_IDLE_SECONDS = 1.0


class Watch:
    """The handle of a function that is to be called. Made by :func:`watch`."""

    def __init__(self, watchdog: _Watchdog, callback: Callable[[], object]) -> None:
        self._watchdog = watchdog
        self.callback = callback
        #: When it is due, by the monotonic clock; ``None`` once it is cancelled or was called.
        self.due: float | None = None

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
    key = os.getpid(), greenlets_are_threads()
    watchdog = _watchdogs.get(key)
    if watchdog is None:
        watchdog = _watchdogs.setdefault(key, _Watchdog())
    return watchdog.add(time.monotonic() + seconds, callback)


class _Watchdog:
    """The heap and the thread of one process."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        # A moved or cancelled watch stays in the heap until that time: its due time has changed.
        self._heap: list[tuple[float, int, Watch]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def add(self, due: float, callback: Callable[[], object]) -> Watch:
        added = Watch(self, callback)
        with self._changed:
            self._push(added, due)
            if self._thread is None:
                thread = make_thread("flagsmith-watchdog", self._run)
                with contextlib.suppress(RuntimeError):
                    thread.start()
                    self._thread = thread
        return added

    def reschedule(self, moved: Watch, due: float) -> None:
        if os.getpid() != self._pid:
            return
        with self._changed:
            if moved.due is not None:
                self._push(moved, due)

    def cancel(self, cancelled: Watch) -> None:
        # In a forked child the lock may stay held, by a thread that only the parent has.
        if os.getpid() != self._pid:
            return
        with self._changed:
            self._forget(cancelled)
            if self._heap and self._heap[0][2] is cancelled:
                # The thread may have nothing left to watch, and then ends soon.
                self._changed.notify()

    def _push(self, pushed: Watch, due: float) -> None:
        pushed.due = due
        heapq.heappush(self._heap, (due, next(self._numbers), pushed))
        if self._heap[0][2] is pushed:
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
        """Waits for the next watch that is due; ``None`` if there is none, or after a fork."""
        with self._changed:
            while os.getpid() == self._pid:
                if not self._heap:
                    if not self._changed.wait(_IDLE_SECONDS) and not self._heap:
                        break
                    continue
                due, _, first = self._heap[0]
                left = due - time.monotonic()
                if first.due != due:
                    heapq.heappop(self._heap)
                elif left <= 0:
                    heapq.heappop(self._heap)
                    return self._forget(first)
                else:
                    self._changed.wait(min(left, threading.TIMEOUT_MAX))
            self._thread = None
            return None

    @staticmethod
    def _forget(done: Watch) -> Callable[[], object]:
        # The heap must not keep the function, and what it holds, alive.
        callback, done.callback, done.due = done.callback, _nothing, None
        return callback


def _nothing() -> None:
    """Stands in for the function of a watch that is over."""


_watchdogs: dict[tuple[int, bool], _Watchdog] = {}
