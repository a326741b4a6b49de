"""The refresher: fetches when the schedule says so, and hands the snapshots to the publisher.

It runs in a thread of its own, which alone owns the schedule and the API's client. It is also the
polling clock. It waits for the mailbox, the API and, in a fleet, Redis; never for a receiver or for
a log handler. A source makes a new one at each start.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from datetime import datetime, timezone

from .. import logs
from ..client import API
from ..exceptions import FetchError
from ..logs import BackgroundLogger, OncePerCause
from ..model import Snapshot, is_plausible
from ..monitoring import Activity
from .listener import Listener
from .mailbox import Connected, Mail, Mailbox, RefreshHint
from .publisher import Publisher
from .schedule import Schedule, Verdict

logger = BackgroundLogger(logging.getLogger(__name__))

#: Timers of the platform do not take infinity.
_LONGEST_WAIT_SECONDS = 24 * 3600.0


class Refresher:
    """Fetches one app's flags.

    :param mailbox: where the listener puts what the stream announces.
    :param schedule: decides when to fetch.
    :param api: fetches.
    :param listener: started once the environment's id is known.
    :param activity: where the thread reports.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        schedule: Schedule,
        api: API,
        listener: Listener,
        activity: Activity,
    ) -> None:
        self._mailbox = mailbox
        self._schedule = schedule
        self._api = api
        self._listener = listener
        self._activity = activity
        self._failures = OncePerCause(logger, "fetch", "Flagsmith's API answers again.")
        self._oddities = OncePerCause(logger, "epoch", "")
        self._delays = OncePerCause(
            logger, "announcement", "Flagsmith's API serves what the stream announced."
        )
        #: The epoch of the last change that was announced.
        self._announced: float | None = None
        #: The last unexpected error, whose traceback is in the log.
        self._crash: str | None = None
        self._process = os.getpid()

    def run(self, publisher: Publisher) -> None:
        """Works until the mailbox is closed.

        :param publisher: makes the snapshots visible.
        """
        held = publisher.held
        if held is not None:
            self._schedule.hold(held.epoch, time.monotonic())
            self._mailbox.known = self._schedule.known
        try:
            while True:
                wait = max(0.0, self._schedule.due - time.monotonic())
                mail = self._mailbox.take(min(wait, _LONGEST_WAIT_SECONDS))
                if mail.closed or self._is_over:
                    return
                self._work(mail, publisher)
        finally:
            self._api.close()

    @property
    def open_hint(self) -> RefreshHint | None:
        """The hint that no answer has served yet."""
        return RefreshHint(self._schedule.hint_moment) if self._schedule.has_hint else None

    @property
    def _is_over(self) -> bool:
        # gevent's greenlets live on in a forked child, where another source has taken over.
        return self._mailbox.is_closed or os.getpid() != self._process

    def _work(self, mail: Mail, publisher: Publisher) -> None:
        """Does everything that is due. Survives an unexpected error: without this thread flags
        would freeze."""
        try:
            self._read(mail, publisher)
            if self._schedule.due <= time.monotonic():
                self._refresh(publisher)
            self._report_unserved()
        except Exception as error:
            self._schedule.failed(time.monotonic())
            self._log_crash(error)

    def _read(self, mail: Mail, publisher: Publisher) -> None:
        now = time.monotonic()
        if mail.hint is not None:
            self._schedule.hinted(mail.hint.moment, now)
            self._announced = mail.hint.moment or time.time()
        for transition in mail.transitions:
            if isinstance(transition, Connected):
                self._schedule.connected(now)
                publisher.dispatcher.connected()
            else:
                self._schedule.disconnected(now)
                publisher.dispatcher.disconnected(transition.reason)
        if mail.greeted is not None:
            self._schedule.greeted(mail.greeted.epoch)
        if mail.unnumbered and self._schedule.announced(None, now):
            self._announced = time.time()
        if mail.newest is not None and self._schedule.announced(mail.newest, now):
            self._announced = mail.newest
        self._mailbox.known = self._schedule.known

    def _refresh(self, publisher: Publisher) -> None:
        self._schedule.started(time.monotonic())
        self._activity.calling()
        announced = self._announced
        try:
            snapshot = self._api.fetch(publisher.held)
            if not self._is_over:
                snapshot = self._checked(snapshot, publisher)
                if self._schedule.remote:
                    snapshot = replace(snapshot, announced=announced)
                self._answered(snapshot, publisher)
        except FetchError as error:
            self._failed(error, publisher)
        except Exception as error:
            self._log_crash(error)
            self._failed(FetchError(f"Fetching flags failed unexpectedly: {error!r}."), publisher)
        self._mailbox.known = self._schedule.known

    def _log_crash(self, error: Exception) -> None:
        """Logs an unexpected error with its traceback, unless it repeats the last one."""
        if repr(error) != self._crash:
            self._crash = repr(error)
            logger.exception(
                "Fetching flags failed unexpectedly.", extra=logs.fields("fetch_crashed")
            )

    def _failed(self, error: FetchError, publisher: Publisher) -> None:
        if self._is_over:
            # The fetch was interrupted: that says nothing about Flagsmith.
            return
        self._schedule.failed(time.monotonic(), error.retry_after)
        self._activity.failed(str(error))
        serving = publisher.failed(error)
        meanwhile = "defaults serve" if serving is None else "the last good flags go on serving"
        self._failures.problem(f"{error} Until it answers, {meanwhile}; it is tried again.")
        if serving is not None:
            self._listener.start(serving.environment_id)

    def _checked(self, snapshot: Snapshot, publisher: Publisher) -> Snapshot:
        """Refuses a document of another environment, and drops an epoch that cannot be right.

        :raises FetchError: if the answer must not be published.
        """
        known = publisher.environment_id
        if known is not None and snapshot.environment_id != known:
            raise FetchError(
                "Flagsmith's API answered with the document of another environment than before. "
                "Does a cache in between ignore the header X-Environment-Key? If the environment's "
                "client-side key was changed, restart the app, without the file of "
                "FLAGSMITH_SNAPSHOT_FILE and the fleet's keys in Redis."
            )
        now = max(snapshot.server_date or 0.0, snapshot.fetched_at)
        if snapshot.epoch is None or is_plausible(snapshot.epoch, now):
            return snapshot
        self._oddities.problem(
            f"Flagsmith's API answered with flags of {_timestamp(snapshot.epoch)}, which is in the "
            "future. The flags are taken without that time. Check the clocks of Flagsmith's server "
            "and of this machine."
        )
        return replace(snapshot, epoch=None)

    def _report_unserved(self) -> None:
        """Reports a change that was announced and that no answer has."""
        now = time.monotonic()
        self._activity.unserved_since = self._schedule.unserved_since
        if self._activity.is_unserved(now):
            self._delays.problem(
                "The stream announced a change that Flagsmith's API does not serve yet, or the API "
                "answers with older flags than before. The flags may be out of date; they are "
                "fetched again."
            )
        elif self._activity.unserved_since is None:
            self._delays.recovered()

    def _answered(self, snapshot: Snapshot, publisher: Publisher) -> None:
        self._activity.answered()
        serving = publisher.held
        if serving is not None and self._schedule.held is None:
            self._schedule.hold(serving.epoch, time.monotonic())
        held = self._schedule.held
        verdict, given_up = self._schedule.answered(snapshot.epoch, time.monotonic())
        if self._schedule.unserved_since is not None:
            # The answer is older than announced: another replica, or the host's new address, may be
            # ahead of this one.
            self._api.renew_connection()
        if verdict is not Verdict.REFUSE:
            replaced = held if verdict is Verdict.TAKE_OLDER else None
            changes = publisher.publish(snapshot, fetched=True, replaced=replaced)
            if changes is None or changes:
                self._schedule.saw_change(snapshot.epoch)
            self._listener.start(snapshot.environment_id)
        self._failures.recovered()
        for epoch in given_up:
            logger.warning(
                "The stream announced a change at %s that Flagsmith's API never served: its answer "
                "is of %s. It is not asked for again.",
                _timestamp(epoch),
                _timestamp(snapshot.epoch),
                extra=logs.fields("epoch_given_up", epoch=epoch),
            )
        if verdict is Verdict.REFUSE:
            logger.debug(
                "An answer older than the flags held was left aside.",
                extra=logs.fields("answer_left_aside", epoch=snapshot.epoch),
            )
        elif verdict is Verdict.TAKE_OLDER:
            logger.warning(
                "Flagsmith's API keeps serving flags of %s, older than those of %s held so far; "
                "they are taken. Was the environment restored from a backup?",
                _timestamp(snapshot.epoch),
                _timestamp(held),
                extra=logs.fields("older_flags_taken", epoch=snapshot.epoch),
            )


def _timestamp(epoch: float | None) -> str:
    """Returns an epoch as text for a log line."""
    if epoch is None:
        return "an unknown time"
    try:
        return datetime.fromtimestamp(epoch, timezone.utc).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return f"epoch {epoch:g}"
