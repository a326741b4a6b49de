"""The source of a process alone, or of a leader: Flagsmith itself.

The *listener's* thread puts what the stream announces into the mailbox. The *refresher's* thread,
which is this source's own, takes it from there, fetches when the schedule says so, and publishes.
It alone owns the schedule and the API's client, and is also the polling clock. It waits for the
mailbox, the API and, in a fleet, Redis; never for a receiver or for a log handler.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import datetime, timezone

from .. import logs, signals
from ..client import API
from ..config import Config
from ..exceptions import FetchError
from ..logs import BackgroundLogger, OncePerCause
from ..model import Snapshot, is_plausible
from ..monitoring import Activity
from ..processes import join_briefly
from .listener import Listener
from .mailbox import Mail, Mailbox
from .schedule import Schedule, Verdict
from .source import RefreshHint, Source

logger = BackgroundLogger(logging.getLogger(__name__))

#: Timers of the platform do not take infinity.
_LONGEST_WAIT_SECONDS = 24 * 3600.0


class FlagsmithSource(Source):
    """Listens to Flagsmith's stream and fetches from its API.

    :param config: the app's settings.
    :param activity: where the threads report.
    :param delay: how long the first fetch waits, in seconds.
    """

    _thread_name = "flagsmith-refresher"

    def __init__(self, config: Config, activity: Activity, delay: float = 0.0) -> None:
        self._activity = activity
        self._schedule = Schedule(
            config.refresh_min_interval_seconds,
            config.environment_refresh_interval_seconds,
            config.live_refresh_interval_seconds,
            remote=not config.local_evaluation,
        )
        self._mailbox = Mailbox(self._schedule.known)
        self._listener = Listener(config, self._mailbox, activity)
        self._api = API(config)
        if delay:
            self._schedule.wait_until(time.monotonic() + delay)
        self._failures = OncePerCause(logger, "fetch", "Flagsmith's API answers again.")
        self._oddities = OncePerCause(logger, "epoch", "")
        self._delays = OncePerCause(
            logger, "announcement", "Flagsmith's API serves what the stream announced."
        )
        #: The epoch of the last change that was announced.
        self._announced: float | None = None
        #: The last unexpected error, whose traceback is in the log.
        self._crash: str | None = None

    def refresh(self, hint: RefreshHint) -> None:
        self._mailbox.hint(hint)

    def stop(self) -> RefreshHint | None:
        waiting, taken = self._mailbox.close(), self._schedule.open_hint
        hint = taken if waiting is None else waiting.merged_with(taken)
        if self._thread is not None:
            self._publisher.close()
        self._listener.stop()
        self._api.interrupt()
        return hint

    def join(self) -> None:
        join_briefly(self._thread, self._listener.thread)

    @property
    def _is_over(self) -> bool:
        return self._mailbox.is_closed or self._is_copy

    def _run(self) -> None:
        held = self._publisher.held
        if held is not None:
            self._schedule.hold(held.epoch, time.monotonic())
        try:
            while True:
                wait = max(0.0, self._schedule.due - time.monotonic())
                mail = self._mailbox.take(min(wait, _LONGEST_WAIT_SECONDS))
                if self._is_over:
                    return
                self._work(mail)
        finally:
            self._api.close()

    def _work(self, mail: Mail) -> None:
        """Does everything that is due. Survives an unexpected error: without this thread flags
        would freeze."""
        try:
            self._read(mail)
            if self._schedule.due <= time.monotonic():
                self._fetch()
            if not self._is_over:
                self._report_unserved()
        except Exception as error:
            self._schedule.failed(time.monotonic())
            self._log_crash(error)

    def _read(self, mail: Mail) -> None:
        now = time.monotonic()
        if mail.hint is not None:
            self._schedule.hinted(mail.hint.moment, now)
            self._mailbox.noted_hint()
            self._announced = mail.hint.moment or time.time()
        for reason in mail.transitions:
            if reason is None:
                self._schedule.connected(now)
                self._publisher.dispatcher.send(signals.stream_connected)
            else:
                self._schedule.disconnected(now)
                self._publisher.dispatcher.send(signals.stream_disconnected, reason=reason)
        for epoch in mail.greeting:
            self._schedule.greeted(epoch)
        if mail.unnumbered and self._schedule.announced(None, now):
            self._announced = time.time()
        if mail.newest is not None and self._schedule.announced(mail.newest, now):
            self._announced = mail.newest

    def _fetch(self) -> None:
        self._schedule.started(time.monotonic())
        self._activity.calls += 1
        announced = self._announced
        try:
            snapshot = self._api.fetch(self._publisher.held)
            if not self._is_over:
                snapshot = self._checked(snapshot)
                if self._schedule.remote:
                    snapshot = replace(snapshot, announced=announced)
                self._answered(snapshot)
        except FetchError as error:
            self._failed(error)
        except Exception as error:
            self._log_crash(error)
            self._failed(FetchError(f"Fetching flags failed unexpectedly: {error!r}."))

    def _log_crash(self, error: Exception) -> None:
        """Logs an unexpected error with its traceback, unless it repeats the last one."""
        if repr(error) != self._crash:
            self._crash = repr(error)
            logger.exception(
                "Fetching flags failed unexpectedly.", extra=logs.fields("fetch_crashed")
            )

    def _failed(self, error: FetchError) -> None:
        if self._is_over:
            # The fetch was interrupted: that says nothing about Flagsmith.
            return
        self._schedule.failed(time.monotonic(), error.retry_after)
        self._activity.failed(str(error))
        serving = self._publisher.failed(error)
        meanwhile = "defaults serve" if serving is None else "the last good flags go on serving"
        self._failures.problem(f"{error} Until it answers, {meanwhile}; it is tried again.")
        if serving is not None:
            self._listener.start(serving.environment_id)

    def _checked(self, snapshot: Snapshot) -> Snapshot:
        """Refuses a document of another environment, and drops an epoch that cannot be right.

        :raises FetchError: if the answer must not be published.
        """
        known = self._publisher.environment_id
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
        self._activity.unserved_since = self._schedule.unserved_since
        if self._activity.is_unserved(time.monotonic()):
            self._delays.problem(
                "The stream announced a change that Flagsmith's API does not serve yet, or the API "
                "answers with older flags than before. The flags may be out of date; they are "
                "fetched again."
            )
        elif self._activity.unserved_since is None:
            self._delays.recovered()

    def _answered(self, snapshot: Snapshot) -> None:
        self._activity.answered()
        serving = self._publisher.held
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
            changes = self._publisher.publish(snapshot, fetched=True, replaced=replaced)
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
