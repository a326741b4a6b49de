"""The dispatcher: sends the signals in a thread of its own, so that no receiver holds up the flags.

The engine's threads put signals in and never wait. A thread, *flagsmith-dispatcher*, sends them one
after the other; it starts with the first signal that has a receiver and ends when none is left.
Behind a slow receiver the waiting signals are merged, so that their number is bounded: of one kind
there is one, but for the stream's. Two waiting changes become one, from the first ``previous`` to
the last ``snapshot``; if that leaves no change, none is sent.

What is promised: one signal at a time, in the order in which things happened; a merged signal takes
the place of its last part; ``flags_changed`` comes after the ``snapshot_refreshed`` of the same
snapshot. A stop drops what waits and does not wait for a receiver. Where no thread can be started,
signals wait for the next one that comes. A forked child makes a new dispatcher: its parent sends
what waited there.

The dispatcher holds the app weakly: an app that is not used any more can be freed.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from blinker import NamedSignal
from flask import Flask

from .. import signals
from ..exceptions import FetchError
from ..logs import BackgroundLogger, OncePerCause
from ..model import FlagChange, Snapshot, diff
from ..monitoring import Activity
from ..processes import make_thread, start_thread, watch

logger = BackgroundLogger(logging.getLogger(__name__))

#: The most transitions of the stream that wait; of more, the oldest are dropped.
_MOST_TRANSITIONS = 16
#: How long a signal's receivers may run before the log names the one that does, in seconds.
SLOW_SECONDS = 30.0


@dataclass(frozen=True)
class _Waiting:
    """A signal that waits to be sent."""

    signal: NamedSignal
    content: dict[str, Any] = field(default_factory=dict)


class Dispatcher:
    """Sends one app's signals.

    :param app: the sender.
    :param activity: where a receiver that runs for long is reported.
    """

    def __init__(self, app: Flask, activity: Activity) -> None:
        self._app = weakref.ref(app)
        self._activity = activity
        self._slow = OncePerCause(logger, "receiver", "")
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._waiting: OrderedDict[object, _Waiting] = OrderedDict()
        self._stream: list[object] = []
        self._thread: threading.Thread | None = None
        self._closed = False

    def refreshed(self, snapshot: Snapshot) -> None:
        """Sends ``snapshot_refreshed``."""
        self._put("refreshed", signals.snapshot_refreshed, snapshot=snapshot)

    def changed(
        self,
        changes: Mapping[str, FlagChange],
        snapshot: Snapshot,
        previous: Snapshot | None,
        leader: bool,
    ) -> None:
        """Sends ``flags_changed``, merged with one that waits already."""
        with self._lock:
            waiting = self._waiting.pop("changed", None)
        if waiting is not None:
            previous = waiting.content["previous"]
            leader = leader or waiting.content["leader"]
            changes = diff(previous, snapshot)
            if not changes:
                return
        self._put(
            "changed",
            signals.flags_changed,
            changes=changes,
            snapshot=snapshot,
            previous=previous,
            leader=leader,
        )

    def failed(self, error: FetchError) -> None:
        """Sends ``refresh_failed``."""
        self._put("failed", signals.refresh_failed, error=error)

    def connected(self) -> None:
        """Sends ``stream_connected``."""
        self._put_transition(signals.stream_connected)

    def disconnected(self, reason: str) -> None:
        """Sends ``stream_disconnected``."""
        self._put_transition(signals.stream_disconnected, reason=reason)

    def close(self) -> None:
        """Drops what waits, and sends nothing more."""
        with self._lock:
            self._closed = True
            self._waiting.clear()

    def _put_transition(self, signal: NamedSignal, **content: Any) -> None:
        key = object()
        with self._lock:
            self._stream = [waiting for waiting in self._stream if waiting in self._waiting]
            if len(self._stream) >= _MOST_TRANSITIONS:
                self._waiting.pop(self._stream.pop(0), None)
            self._stream.append(key)
        self._put(key, signal, **content)

    def _put(self, key: object, signal: NamedSignal, **content: Any) -> None:
        app = self._app()
        if app is None or not signal.has_receivers_for(app):
            return
        with self._lock:
            if self._closed:
                return
            self._waiting.pop(key, None)
            self._waiting[key] = _Waiting(signal, content)
            if self._thread is not None:
                return
            self._thread = thread = make_thread("flagsmith-dispatcher", self._run)
        if not start_thread(thread):
            with self._lock:
                self._thread = None

    def _run(self) -> None:
        while True:
            with self._lock:
                # gevent copies greenlets into a forked child, where they have to end.
                app = None if self._process != os.getpid() else self._app()
                if app is None or not self._waiting:
                    self._thread = None
                    return
                _, waiting = self._waiting.popitem(last=False)
            self._send(app, waiting)
            del app

    def _send(self, app: Flask, waiting: _Waiting) -> None:
        report = partial(self._report_slow, threading.get_ident())
        watched = watch(SLOW_SECONDS, report)
        try:
            signals.send(waiting.signal, app, **waiting.content)
        finally:
            watched.cancel()
            self._activity.slow_receiver = None

    def _report_slow(self, thread: int) -> None:
        """Names the receiver that holds up the others. In the watchdog's thread."""
        name = signals.running_in(thread)
        if name is not None:
            self._activity.slow_receiver = name
            self._slow.problem(
                f"{name} has received a signal {SLOW_SECONDS:g} s ago and still runs. Flags "
                "follow, but all other signals wait for it. Give it a timeout, or do its work "
                "elsewhere."
            )
