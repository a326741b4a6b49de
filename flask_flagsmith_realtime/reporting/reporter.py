"""The reporter: posts one app's usage and events at intervals, in a thread of its own.

- *Threads*: request threads add to :class:`.Analytics` and :class:`.Events`, each of which guards
  its content by a lock that is held for a few instructions. The thread *flagsmith-reporter* starts
  with the first addition, posts at the end of each interval, and ends when there is nothing left.
- *Stop*: the thread posts what there is, once, within :data:`_FAREWELL_SECONDS`, and ends; a call
  that takes longer is interrupted. So it is at the end of the process.
- *Forks*: a child begins with nothing, since its parent posts what was added there. Locks are made
  again.
- *Tests*: while ``app.testing`` is set, nothing is posted; events are kept for the test to read.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import Flask

from .. import logs
from ..client import ReportClient, ReportError, jitter
from ..config import Config
from ..logs import BackgroundLogger
from ..model import Flag, FlagValue, Identity
from ..processes import register_engine, start_thread
from ..signals import flag_evaluated
from .analytics import Analytics
from .events import Event, Events, exposure, exposure_by_app, tracked_event

logger = BackgroundLogger(logging.getLogger(__name__))

_FAREWELL_SECONDS = 0.8
_RETRY_SECONDS = 1.0
_MOST_KEPT_EVENTS = 10_000


class Reporter:
    """Reports for one app.

    :param app: the app.
    :param config: its settings.
    """

    _lock: threading.Lock
    _stopping: threading.Event

    def __init__(self, app: Flask, config: Config) -> None:
        self._app_config = app.config
        self._config = config
        self._has_network = config.environment_key is not None and config.offline_file is None
        self._stopped = not self._has_network
        self.analytics = Analytics(config)
        self.events = Events(config)
        #: The events of an app under test, the oldest first.
        self.kept_events: deque[Event] = deque(maxlen=_MOST_KEPT_EVENTS)
        self.reset_after_fork()
        if config.enable_analytics and self._has_network:
            flag_evaluated.connect(self._receive, sender=app)
        register_engine(self)

    def track(
        self,
        name: str,
        identity: Identity | None,
        value: FlagValue,
        metadata: Mapping[str, Any] | None,
    ) -> None:
        """Reports something that a user did.

        :raises TypeError: if an argument has a wrong type.
        :raises ValueError: if it exceeds a limit of Flagsmith's.
        """
        self._add(tracked_event(name, identity, value, metadata))

    def expose(
        self, flag: Flag, identity: Identity | None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Reports that an identity was shown a flag, if that is part of an experiment.

        :raises TypeError: if the metadata has a wrong type.
        :raises ValueError: if it exceeds a limit of Flagsmith's.
        """
        event = exposure(flag, identity, metadata)
        if event is not None:
            self._add(event)

    def expose_by_app(
        self,
        feature_name: str,
        variant: str,
        identity: Identity | None,
        metadata: Mapping[str, Any] | None,
    ) -> None:
        """Reports that an identity was shown a variant, as the app says.

        :raises TypeError: if the metadata has a wrong type.
        :raises ValueError: if an argument exceeds a limit of Flagsmith's.
        """
        event = exposure_by_app(feature_name, variant, identity, metadata)
        if event is not None:
            self._add(event)

    def count(self, flag: Flag, reads: int = 1) -> None:
        """Counts reads of a flag, for an app that reports its usage."""
        # Defaults are not Flagsmith's features, and their names may be anything.
        if flag.feature_id is None or self._stopped or self._app_config["TESTING"]:
            return
        self.analytics.count(flag.feature_name, reads)
        if self._thread is None:
            self._start_thread()

    def _add(self, event: Event) -> None:
        if self._app_config["TESTING"]:
            self.kept_events.append(event)
        elif not self._config.enable_events:
            self.events.log_disabled()
        elif not self._stopped:
            if self.events.add(event):
                self._interval_over.set()
            if self._thread is None:
                self._start_thread()

    def start(self) -> None:
        """Reports again after :meth:`stop`."""
        self._stopped = not self._has_network
        self._stopping = threading.Event()
        self._farewell_at = math.inf

    def stop(self) -> None:
        """Posts what there is, briefly, and reports nothing until :meth:`start`."""
        self._stopped = True
        self._end_thread(_FAREWELL_SECONDS)

    def pause(self) -> None:
        """Ends the thread until :meth:`reset_after_fork`."""
        self._end_thread(0.0)

    def reset_after_fork(self) -> None:
        """Begins with nothing, and with new locks."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._interval_over = threading.Event()
        self._thread: threading.Thread | None = None
        self._client: ReportClient | None = None
        self._farewell_at = math.inf
        self.analytics.reset()
        self.events.reset()

    def _receive(self, app: Flask, flag: Flag, identity: Identity | None, **_: object) -> None:
        """Counts a read: a receiver of ``flag_evaluated``."""
        self.count(flag)

    def _start_thread(self) -> None:
        with self._lock:
            if self._thread is not None or self._stopping.is_set():
                return
            self._client = ReportClient(self._config)
            self._thread = start_thread("flagsmith-reporter", self._run, self._client)

    def _end_thread(self, seconds: float) -> None:
        with self._lock:
            thread, client = self._thread, self._client
            self._farewell_at = time.monotonic() + seconds
            self._stopping.set()
            self._interval_over.set()
        if thread is None or client is None:
            return
        if thread is not threading.current_thread():
            thread.join(seconds)
        client.interrupt()

    def _run(self, client: ReportClient) -> None:
        process, stopping, interval_over = os.getpid(), self._stopping, self._interval_over
        thread = threading.current_thread()

        def may_retry() -> bool:
            return not stopping.wait(jitter(_RETRY_SECONDS))

        while True:
            interval_over.wait(jitter(self._config.analytics_interval_seconds))
            interval_over.clear()
            if process != os.getpid() or time.monotonic() >= self._farewell_at:
                # A greenlet that a fork has copied, or a pause.
                return
            try:
                self.analytics.report(partial(self._post, client), may_retry)
                self.events.report(partial(self._post, client))
            except Exception:
                logger.exception(
                    "Reporting to Flagsmith failed unexpectedly.",
                    extra=logs.fields("report_crashed"),
                )
            # Not kept: an interval is as long as many a server keeps idle connections.
            client.close()
            with self._lock:
                # In this order: an addition that sees the thread is seen here.
                self._thread = None
                if stopping.is_set() or not (self.analytics or self.events):
                    return
                self._thread = thread

    def _post(self, client: ReportClient, url: str, content: bytes) -> tuple[int, bytes]:
        seconds = min(self._config.request_timeout_seconds, self._farewell_at - time.monotonic())
        if seconds <= 0:
            raise ReportError("the process ended")
        return client.post(url, content, seconds)
