"""The dispatcher: sends the signals in a thread of its own, so that no receiver holds up the flags.

The engine's threads put signals in and never wait. The thread *flagsmith-dispatcher* starts with
the first signal that has a receiver and ends when no signal is left. It promises:

- One signal is sent at a time, in the order in which things happened; ``flags_changed`` follows the
  ``snapshot_refreshed`` of the same snapshot.
- The signals that wait behind a slow receiver are bounded. Of each kind the newest waits, in the
  place of its last part; of the stream's signals, the last 16. Two changes that wait are merged:
  from the first ``previous`` to the last ``snapshot``. If that leaves no change, none is sent.
- A stop drops the waiting signals and does not wait for a receiver.
- Where no thread can be started, signals wait for the next one.

A forked child makes a new dispatcher: its parent sends the signals that waited there. The
dispatcher holds the app weakly, so an app that is not used any more can be freed.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import weakref
from collections import OrderedDict
from functools import partial
from typing import Any

from blinker import NamedSignal
from flask import Flask

from .. import signals
from ..logs import BackgroundLogger, OncePerCause
from ..model import diff
from ..monitoring import Activity
from ..processes import start_thread, watch

logger = BackgroundLogger(logging.getLogger(__name__))

#: The most transitions of the stream that wait; of more, the oldest are dropped.
_MOST_TRANSITIONS = 16
#: How long a signal's receivers may run before the log names the one that does, in seconds.
SLOW_SECONDS = 30.0


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
        #: The signals that wait and their arguments, by kind.
        self._waiting: OrderedDict[object, tuple[NamedSignal, dict[str, Any]]] = OrderedDict()
        self._transitions = itertools.count()
        self._thread: threading.Thread | None = None
        #: The content of the signal that is sent at the moment.
        self._sending: dict[str, Any] | None = None
        self._closed = False

    def send(self, signal: NamedSignal, **content: Any) -> None:
        """Sends a signal in the dispatcher's thread, merged with one of its kind that waits."""
        app = self._app()
        if app is None or not signal.has_receivers_for(app):
            return
        key: object = signal
        if signal in (signals.stream_connected, signals.stream_disconnected):
            # Each takes the place of the one that is so many transitions older.
            key = next(self._transitions) % _MOST_TRANSITIONS
        with self._lock:
            _, waiting = self._waiting.pop(key, (signal, None))
            if waiting is not None and signal is signals.flags_changed:
                previous, leader = waiting["previous"], waiting["leader"] or content["leader"]
                changes = diff(previous, content["snapshot"])
                content |= {"changes": changes, "previous": previous, "leader": leader}
                if not changes:
                    return
            if self._closed:
                return
            self._waiting[key] = signal, content
            if self._thread is None:
                self._thread = start_thread("flagsmith-dispatcher", self._run)

    def close(self) -> None:
        """Drops what waits, and sends nothing more."""
        with self._lock:
            self._closed = True
            self._waiting.clear()

    def _run(self) -> None:
        while True:
            with self._lock:
                # gevent copies greenlets into a forked child, where they have to end.
                app = None if self._process != os.getpid() else self._app()
                if app is None or not self._waiting:
                    self._thread = None
                    return
                _, (signal, content) = self._waiting.popitem(last=False)
            self._send(app, signal, content)
            del app

    def _send(self, app: Flask, signal: NamedSignal, content: dict[str, Any]) -> None:
        report = partial(self._report_slow, threading.get_ident(), content)
        self._sending = content
        watched = watch(SLOW_SECONDS, report)
        try:
            signals.send(signal, app, **content)
        finally:
            watched.cancel()
            with self._lock:
                self._sending = self._activity.slow_receiver = None

    def _report_slow(self, thread: int, content: dict[str, Any]) -> None:
        """Names the receiver that holds up the others. In the watchdog's thread."""
        name = signals.running_in(thread)
        with self._lock:
            # The watchdog may be late.
            if name is None or self._sending is not content:
                return
            self._activity.slow_receiver = name
        self._slow.problem(
            f"{name} has received a signal {SLOW_SECONDS:g} s ago and still runs. Flags "
            "follow, but all other signals wait for it. Give it a timeout, or do its work "
            "elsewhere."
        )
