"""The open event streams of one app in one process.

Each stream runs in the thread or greenlet of the request that opened it, and waits in the engine
for the next change. Streams of a process share their number, behind a lock that is held for a few
instructions. While streams are open, the watchdog's thread looks twice a second if the server stops
this worker: then all streams end at once, since a worker waits for its requests before it ends.

A forked child starts with no stream. Under gevent, a fork copies waiting greenlets into the child:
there they end without a byte, since the connection is still the parent's.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from .. import logs
from ..client import jitter
from ..config import Config
from ..engine import Engine
from ..model import Snapshot
from ..processes import PerProcess, concurrent_requests, is_worker_stopping, watch
from .events import Events

logger = logs.SafeLogger(logging.getLogger(__name__))

#: The delay before a browser that was refused a stream asks again, in seconds.
RETRY_AFTER_SECONDS = 30

_LOOK_SECONDS = 0.5


class EventStreams:
    """Opens event streams."""

    def __init__(self, config: Config, engine: Engine) -> None:
        self._config = config
        self._engine = engine
        self._processes = PerProcess(_Process)

    def have_room(self, environ: Mapping[str, Any]) -> bool:
        """Returns ``True`` if this process would open a stream now."""
        return self._processes.get().open < self._most(environ) and self._engine_runs()

    def open(self, environ: Mapping[str, Any], events: Events) -> Stream | None:
        """Opens a stream, unless this process has too many, or cannot have any."""
        most = self._most(environ)
        here = self._processes.get()
        if not self._engine_runs():
            return None
        if not here.enter(most):
            here.log_once(most, concurrent_requests(environ))
            return None
        here.end_when_the_worker_stops(self._engine)
        seconds = jitter(self._config.browser_stream_seconds)
        return Stream(self._engine, here, events, seconds)

    def poll(self, events: Events) -> list[str]:
        """Returns a stream that ends at once and has the browser connect again after a while."""
        event = events.begin(_epoch(self._engine.read()))
        seconds = RETRY_AFTER_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311
        return [f"retry: {1000 * seconds:.0f}\n\n", event or ""]

    def _most(self, environ: Mapping[str, Any]) -> int:
        """Returns how many streams may be open: some requests must always find a thread."""
        requests = concurrent_requests(environ)
        most = self._config.browser_streams
        return most if requests is None else min(most, requests - max(1, requests // 4))

    def _engine_runs(self) -> bool:
        return self._engine.wait_for_change(None, 0) is not None


class Stream:
    """One open stream: an iterable of text. It must be closed, also if nothing was read from it."""

    def __init__(self, engine: Engine, process: _Process, events: Events, seconds: float) -> None:
        self._engine = engine
        self._process = process
        self._events = events
        self._deadline = time.monotonic() + seconds
        self._is_open = True

    def close(self) -> None:
        """Makes room for another stream."""
        if self._is_open:
            self._is_open = False
            self._process.leave()

    def __iter__(self) -> Iterator[str]:
        # Browsers whose worker stops do not connect to the next one at the same moment.
        yield f"retry: {random.randint(1000, 3000)}\n\n"  # noqa: S311
        # In this order: a snapshot that is published in between is read, and is no second event.
        change = self._engine.wait_for_change(None, 0)
        snapshot = self._engine.read()
        event = self._events.begin(_epoch(snapshot))
        while change is not None and not self._process.is_closed():
            # Also at the end: a process that is slow to start a stream would never send any.
            if event is not None:
                yield event
            left = self._deadline - time.monotonic()
            if left <= 0:
                return
            newest = self._engine.wait_for_change(change, min(self._events.next_delay(), left))
            event = None
            if newest is change:
                event = self._events.quiet()
            elif (served := self._engine.read()) is not snapshot:
                snapshot = served
                event = self._events.changed(_epoch(snapshot))
            change = newest


class _Process:
    """The streams of one process."""

    def __init__(self) -> None:
        self.open = 0
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._is_stopping = False
        self._is_watched = False
        self._logged: set[int] = set()

    def enter(self, most: int) -> bool:
        with self._lock:
            if self.open >= most:
                return False
            self.open += 1
            return True

    def leave(self) -> None:
        if self._pid == os.getpid():
            with self._lock:
                self.open -= 1

    def is_closed(self) -> bool:
        return self._is_stopping or self._pid != os.getpid()

    def end_when_the_worker_stops(self, engine: Engine) -> None:
        with self._lock:
            if self._is_watched:
                return
            self._is_watched = True
        self._look(engine)

    def _look(self, engine: Engine) -> None:
        """Runs in the watchdog's thread."""
        if is_worker_stopping():
            self._is_stopping = True
            engine.end_waits()
            return
        with self._lock:
            self._is_watched = self.open > 0
            if self._is_watched:
                watch(_LOOK_SECONDS, lambda: self._look(engine))

    def log_once(self, most: int, requests: int | None) -> None:
        """Logs why a stream was refused, once in a process for each bound."""
        if most in self._logged:
            return
        self._logged.add(most)
        if requests == 1:
            logger.warning(
                "This process serves one request at a time, so it keeps no event stream open, and "
                "open pages poll every %d s. To have them follow changes at once, use threads or "
                "gevent: gunicorn --worker-class gthread --threads 32, uWSGI --threads 32.",
                RETRY_AFTER_SECONDS,
                extra=logs.fields("browser_streams_impossible"),
            )
        else:
            logger.info(
                "This process keeps as many event streams open as it may (%d); further pages poll "
                "every %d s. FLAGSMITH_BROWSER_STREAMS and the server's threads, of which a "
                "quarter stays free, set the bound.",
                most,
                RETRY_AFTER_SECONDS,
                extra=logs.fields("browser_streams_full", most=most),
            )


def _epoch(snapshot: Snapshot | None) -> float | None:
    return None if snapshot is None else snapshot.epoch
