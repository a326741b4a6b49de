"""The refresher: fetches when the schedule says so, and tells the app what came of it.

Runs in a thread of its own, which alone owns the schedule and the API's client, writes the snapshot
file, and in which all signals are sent. It is also the polling clock. It waits for nobody but the
mailbox, the API and the app's receivers. A forked child makes a new one.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from blinker import NamedSignal
from flask import Flask

from . import signals
from .api import API
from .changes import diff
from .episodes import Episode
from .errors import FetchError
from .holder import Holder
from .mailbox import Connected, Disconnected, Mail, Mailbox
from .schedule import Schedule, Verdict
from .snapshot import Snapshot
from .snapshot_file import SnapshotFile

logger = logging.getLogger(__name__)

#: Timers of the platform do not take infinity.
_LONGEST_WAIT_SECONDS = 24 * 3600.0


class Refresher:
    """Renews one app's snapshot.

    :param app: the sender of the signals.
    :param mailbox: where the listener puts what the stream announces.
    :param schedule: decides when to fetch.
    :param api: fetches.
    :param holder: where readers find the snapshot.
    :param file: where the last good snapshot is kept, if anywhere.
    :param listen: starts the listener for an environment's id, unless it is running.
    """

    def __init__(
        self,
        app: Flask,
        mailbox: Mailbox,
        schedule: Schedule,
        api: API,
        holder: Holder,
        file: SnapshotFile | None,
        listen: Callable[[str], None],
    ) -> None:
        self._app = app
        self._mailbox = mailbox
        self._schedule = schedule
        self._api = api
        self._holder = holder
        self._file = file
        self._listen = listen
        self._episode = Episode(logger, "Flagsmith's API answers again.")
        self._pid = os.getpid()
        self._ident: int | None = None

    def run(self) -> None:
        """Work until the mailbox is closed."""
        self._ident = threading.get_ident()
        try:
            while True:
                wait = max(0.0, self._schedule.due - time.monotonic())
                mail = self._mailbox.take(min(wait, _LONGEST_WAIT_SECONDS))
                # gevent's greenlets live on in a forked child; there, others have taken over.
                if mail.closed or os.getpid() != self._pid:
                    return
                self._read(mail)
                if self._schedule.due <= time.monotonic():
                    self._refresh()
                for transition in mail.transitions:
                    self._tell(transition)
        finally:
            self._api.close()

    @property
    def is_current_thread(self) -> bool:
        """Whether the caller is one of the app's receivers, called by the refresher."""
        return self._ident == threading.get_ident()

    def _read(self, mail: Mail) -> None:
        now = time.monotonic()
        for transition in mail.transitions:
            if isinstance(transition, Connected):
                self._schedule.connected(now)
            else:
                self._schedule.disconnected(now)
        if mail.greeted:
            self._schedule.greeted()
        if mail.unnumbered:
            self._schedule.announced(None, now)
        if mail.newest is not None:
            self._schedule.announced(mail.newest, now)
        self._mailbox.known = self._schedule.known

    def _refresh(self) -> None:
        self._schedule.started(time.monotonic())
        try:
            snapshot = self._api.fetch()
        except FetchError as error:
            self._failed(error)
        except Exception as error:
            # The thread must outlive a mistake of ours: without it flags would freeze.
            logger.exception("Fetching flags failed unexpectedly.")
            self._failed(FetchError(f"Fetching flags failed unexpectedly: {error!r}."))
        else:
            self._answered(snapshot)
        self._mailbox.known = self._schedule.known

    def _failed(self, error: FetchError) -> None:
        self._schedule.failed(time.monotonic(), error.retry_after)
        reserve = self._holder.fall_back()
        serving = "defaults serve" if reserve is None else "the last good flags go on serving"
        self._episode.trouble(f"{error} Until it answers, {serving}; it is tried again.")
        if reserve is not None:
            self._listen(reserve.environment_id)
        self._send(signals.refresh_failed, error=error)

    def _answered(self, snapshot: Snapshot) -> None:
        served = self._holder.snapshot
        if served is not None and self._schedule.held is None:
            self._schedule.hold(served.epoch, time.monotonic())
        held = self._schedule.held
        verdict, given_up = self._schedule.answered(snapshot.epoch, time.monotonic())
        self._episode.over()
        for epoch in given_up:
            logger.warning(
                "The stream announced a change at %s that Flagsmith's API never served: its answer "
                "is of %s. It is not asked for again.",
                _moment(epoch),
                _moment(snapshot.epoch),
            )
        if verdict is Verdict.REFUSE:
            logger.debug("An answer older than the flags held was left aside.")
            return
        if verdict is Verdict.TAKE_OLDER:
            logger.warning(
                "Flagsmith's API keeps serving flags of %s, older than those of %s held so far; "
                "they are taken. Was the environment restored from a backup?",
                _moment(snapshot.epoch),
                _moment(held),
            )
        self._publish(snapshot)

    def _publish(self, snapshot: Snapshot) -> None:
        previous, served_nothing = self._holder.publish(snapshot)
        self._listen(snapshot.environment_id)
        self._send(signals.snapshot_refreshed, snapshot=snapshot)
        if previous is not None or served_nothing:
            changes = diff(previous, snapshot)
            if changes:
                logger.info("Flags changed: %s.", ", ".join(sorted(changes)))
                self._send(
                    signals.flags_changed, changes=changes, snapshot=snapshot, previous=previous
                )
        if self._file is not None:
            self._file.write(snapshot)

    def _tell(self, transition: Connected | Disconnected) -> None:
        if isinstance(transition, Connected):
            self._send(signals.stream_connected)
        else:
            self._send(signals.stream_disconnected, reason=transition.reason)

    def _send(self, signal: NamedSignal, **content: Any) -> None:
        try:
            signals.send(signal, self._app, **content)
        except Exception:
            # A receiver cannot get here, but an app context's own handlers can.
            logger.exception("Sending %s failed.", signal.name)


def _moment(epoch: float | None) -> str:
    """An epoch for a person to read."""
    if epoch is None:
        return "an unknown time"
    try:
        return datetime.fromtimestamp(epoch, timezone.utc).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return f"epoch {epoch:g}"
