"""The apps of the soak: those of the tests' lanes, with receivers and log handlers that misbehave.

Now and then a receiver of a signal blocks for seconds, and a log handler blocks or raises. In each
worker and for each app, an observer notes what requests can read and what the signals report.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from flask_flagsmith_realtime import FlagChange, Identity, flags, flags_changed, snapshot_refreshed
from tests.support import lane_apps
from tests.support.lanes import BEFORE

#: The share of signals at which a receiver blocks, and for how long at the most.
BLOCKED_SIGNALS, LONGEST_RECEIVER_SECONDS = 0.1, 8.0
#: The same for log lines, and the share of them at which a handler raises.
BLOCKED_LINES, LONGEST_HANDLER_SECONDS, FAILED_LINES = 0.05, 4.0, 0.5

#: Threads that end when they have nothing to do.
_PASSING_THREADS = {"flagsmith-dispatcher", "flagsmith-log", "flagsmith-watchdog"}

#: The faults in this process, by kind.
faults: Counter[str] = Counter()


def create_app() -> DispatcherMiddleware:
    """Make all apps, and the log that they share."""
    logger = logging.getLogger("flask_flagsmith_realtime")
    logger.setLevel(logging.DEBUG)
    # The output gets its lines first: a handler that raises keeps them from the next one.
    output = logging.StreamHandler()
    output.setLevel(logging.WARNING)
    for handler in (output, BlockingHandler(), FailingHandler()):
        logger.addHandler(handler)
    return lane_apps.mount(make_app)


def make_app(name: str, settings: Mapping[str, Any]) -> Flask:
    """Make one app."""
    app = lane_apps.make_app(name, settings)
    observer = Observer(app)
    for signal in (flags_changed, snapshot_refreshed):
        signal.connect(block_sometimes, sender=app)

    @app.get("/figures")
    def figures() -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "banner": flags.get_feature_value("banner_text", "default"),
            "identity_banner": flags.for_identity(Identity("ada"))["banner_text"].value,
            "signalled": observer.signalled,
            "ages": observer.ages,
            "falls": observer.falls,
            "wrong_banners": sorted(observer.wrong_banners),
            "lost_changes": observer.lost_changes,
            "faults": faults,
            "threads": sum(t.name not in _PASSING_THREADS for t in threading.enumerate()),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "memory_kib": lane_apps.memory_kib("VmRSS"),
        }

    return app


class Observer:
    """Notes each state that requests of an app can read, and each change that its signals report.

    :param app: the app. Its engine is running.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        #: The age of each new state when it could be read first, in seconds.
        self.ages: list[float] = []
        #: The number of times that an older state followed a newer one.
        self.falls = 0
        #: Banners that the environment never had.
        self.wrong_banners: set[str] = set()
        #: The banner that the signals reported last.
        self.signalled: object = BEFORE
        #: The number of changes that did not begin where the one before ended.
        self.lost_changes = 0
        flags_changed.connect(self._note_signal, sender=app)
        threading.Thread(target=self._watch, name="observer", daemon=True).start()

    def _watch(self) -> None:
        engine = self._app.extensions["flagsmith_realtime"].engine
        newest = 0.0
        change = None
        while True:
            change = engine.wait_for_change(change, 60.0)
            with self._app.app_context():
                # An answer with an absurd epoch is taken without it.
                epoch = flags.epoch or newest
                banner = str(flags.get_feature_value("banner_text", BEFORE))
            if epoch > newest:
                self.ages.append(time.time() - epoch)
            self.falls += epoch < newest
            newest = epoch
            if banner != BEFORE and not banner.isdecimal():
                self.wrong_banners.add(banner)

    def _note_signal(self, app: Flask, changes: Mapping[str, FlagChange], **_: Any) -> None:
        change = changes.get("banner_text")
        if change is None or change.after is None:
            return
        # The first change of a process that served defaults before has no before.
        before = BEFORE if change.before is None else change.before.value
        self.lost_changes += before != self.signalled
        self.signalled = change.after.value


def block_sometimes(app: Flask, **_: Any) -> None:
    """A receiver that calls a service without a timeout."""
    if random.random() < BLOCKED_SIGNALS:
        faults["receiver blocks"] += 1
        time.sleep(random.uniform(0.0, LONGEST_RECEIVER_SECONDS))


class BlockingHandler(logging.Handler):
    """A log handler that now and then waits for its server."""

    def emit(self, record: logging.LogRecord) -> None:
        if random.random() < BLOCKED_LINES:
            faults["log handler blocks"] += 1
            time.sleep(random.uniform(0.0, LONGEST_HANDLER_SECONDS))


class FailingHandler(logging.Handler):
    """A log handler that raises at every other line."""

    def emit(self, record: logging.LogRecord) -> None:
        if random.random() < FAILED_LINES:
            faults["log handler raises"] += 1
            raise LookupError("a log handler of the app's")
