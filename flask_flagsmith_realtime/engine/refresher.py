"""The refresher: fetches when the schedule says so, and tells the app what came of it.

Runs in a thread of its own, which alone owns the schedule and the API's client, writes the snapshot
file, and in which all signals are sent. It is also the polling clock. It waits for nobody but the
mailbox, the API, in a fleet Redis, and the app's receivers. A forked child makes a new one.

In a fleet it fetches only while this process leads or is alone, and not before that is known. A
follower publishes what the leader has put into Redis.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from flask import Flask

from .. import logs, signals
from ..client import API
from ..exceptions import FetchError
from ..fleet.election import Role, Step, first_role_seconds, judge
from ..logs import OncePerCause
from ..model import Snapshot, diff
from ..monitoring import Activity
from ..storage import SnapshotFile
from .listening import Listening
from .mailbox import Connected, Disconnected, Mail, Mailbox, RefreshHint, SharedSnapshot
from .schedule import Schedule, Verdict
from .store import SnapshotStore

if TYPE_CHECKING:
    from ..fleet.member import FleetMember

logger = logging.getLogger(__name__)

#: After so many failed fetches in a row another process of the fleet may do better.
_MOST_FAILURES_OF_A_LEADER = 4
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
    :param listening: starts and stops the listener.
    :param activity: where to write down what happens.
    :param fleet: the other processes, if flags are shared with some.
    """

    def __init__(
        self,
        app: Flask,
        mailbox: Mailbox,
        schedule: Schedule,
        api: API,
        holder: SnapshotStore,
        file: SnapshotFile | None,
        listening: Listening,
        activity: Activity,
        fleet: FleetMember | None = None,
    ) -> None:
        self._app = app
        self._mailbox = mailbox
        self._schedule = schedule
        self._api = api
        self._holder = holder
        self._file = file
        self._listening = listening
        self._activity = activity
        self._fleet = fleet
        #: ``None`` until the fleet says so, or it has not done so in time.
        self.role = Role.ALONE if fleet is None else None
        self._role_due = time.monotonic() + first_role_seconds()
        self._failed_as_leader = 0
        #: What webhooks said and is still to be passed on.
        self._untold: RefreshHint | None = None
        #: When the leader may be told again.
        self._tell_at = -math.inf
        self._episode = OncePerCause(logger, "fetch", "Flagsmith's API answers again.")
        #: The last mistake of ours, whose traceback is in the log.
        self._crash: str | None = None
        self._pid = os.getpid()
        self._ident: int | None = None

    def run(self) -> None:
        """Work until the mailbox is closed."""
        self._ident = threading.get_ident()
        try:
            while True:
                wait = max(0.0, min(self._due, self._tell_due) - time.monotonic())
                mail = self._mailbox.take(min(wait, _LONGEST_WAIT_SECONDS))
                if mail.closed or self._is_over:
                    return
                self._attend(mail)
        finally:
            self._api.close()

    @property
    def _is_over(self) -> bool:
        # gevent's greenlets live on in a forked child; there, others have taken over.
        return self._mailbox.is_closed or os.getpid() != self._pid

    @property
    def is_current_thread(self) -> bool:
        """Whether the caller is one of the app's receivers, called by the refresher."""
        return self._ident == threading.get_ident()

    @property
    def _due(self) -> float:
        if self.role is None:
            return self._role_due
        return self._schedule.due if self.role.fetches else math.inf

    @property
    def _tell_due(self) -> float:
        """When what webhooks said is to be passed on: not before it is known to whom; and the
        leader, which would not fetch more often, is not told more often."""
        if self._untold is None or self.role is None:
            return math.inf
        return -math.inf if self.role.fetches else self._tell_at

    def _attend(self, mail: Mail) -> None:
        """Do all that there is to do now. A mistake of ours is survived: without this thread flags
        would freeze."""
        try:
            self._read(mail)
            if self._due <= time.monotonic():
                self._refresh()
            for transition in mail.transitions:
                self._tell(transition)
        except Exception as error:
            self._schedule.failed(time.monotonic())
            # The log itself may be what fails: a filter of the app's that wants a request.
            with contextlib.suppress(Exception):
                self._say_once(error)

    def _read(self, mail: Mail) -> None:
        now = time.monotonic()
        if self._fleet is not None:
            self._read_of_fleet(mail, self._fleet, now)
        if mail.told is not None:
            self._untold = mail.told.and_before(self._untold)
        if self._untold is not None and self._tell_due <= now:
            self._pass_on(self._untold, now)
            self._untold = None
        for transition in mail.transitions:
            if isinstance(transition, Connected):
                self._schedule.connected(now)
            else:
                self._schedule.disconnected(now)
        if mail.greeted is not None:
            self._schedule.greeted(mail.greeted.epoch)
        if mail.unnumbered:
            self._schedule.announced(None, now)
        if mail.newest is not None:
            self._schedule.announced(mail.newest, now)
        self._mailbox.known = self._schedule.known

    def _read_of_fleet(self, mail: Mail, fleet: FleetMember, now: float) -> None:
        # First the flags, then the role: a new leader goes on from where the old one was.
        delivery = mail.delivery
        if delivery is not None and delivery.snapshot is not None:
            self._compare(delivery, delivery.snapshot, fleet, now)
        role = mail.role
        if role is None and self.role is None and now >= self._role_due:
            role = Role.ALONE
        if role is not None:
            self._change_role(role, now)
        is_empty = delivery is not None and delivery.snapshot is None
        held = self._holder.snapshot
        if is_empty and held is not None and self.role is Role.LEADER:
            fleet.store(held)

    def _compare(
        self, delivery: SharedSnapshot, found: Snapshot, fleet: FleetMember, now: float
    ) -> None:
        """Flags lie in Redis that may be older or newer than those held."""
        held = self._holder.snapshot
        step = Step.TAKE
        if held is not None:
            step = judge(
                held.epoch,
                found.epoch,
                same=held.document == found.document and held.answer == found.answer,
                leads=self.role is Role.LEADER,
                replaced=delivery.replaced,
            )
        if step is not Step.STORE:
            self._activity.answered()
        if step is Step.TAKE:
            self._schedule.adopted(found.epoch, now)
            self._publish(found, fetched=False)
        elif step is Step.STORE and held is not None:
            fleet.store(held)

    def _change_role(self, role: Role, now: float) -> None:
        before, self.role = self.role, role
        self._failed_as_leader = 0
        if not role.fetches:
            self._activity.follow()
            self._listening.stop()
            return
        self._activity.fetch_itself()
        if before is Role.FOLLOWER or role is Role.LEADER:
            # The leader before may have missed something at its end.
            self._schedule.catch_up(now)
        held = self._holder.snapshot
        if held is not None:
            self._listening.start(held.environment_id)

    def _pass_on(self, told: RefreshHint, now: float) -> None:
        if self.role is Role.FOLLOWER and self._fleet is not None:
            self._tell_at = now + self._schedule.min_interval
            self._fleet.tell(told)
        else:
            self._schedule.told(told.moment, now)

    def _refresh(self) -> None:
        self._schedule.started(time.monotonic())
        self._activity.calling()
        try:
            snapshot = self._api.fetch()
            if not self._is_over:
                self._answered(snapshot)
        except FetchError as error:
            self._failed(error)
        except Exception as error:
            self._say_once(error)
            self._failed(FetchError(f"Fetching flags failed unexpectedly: {error!r}."))
        self._mailbox.known = self._schedule.known

    def _say_once(self, error: Exception) -> None:
        """Log a mistake of ours with its traceback, unless it is the last one again."""
        if repr(error) != self._crash:
            self._crash = repr(error)
            logger.exception(
                "Fetching flags failed unexpectedly.", extra=logs.fields("fetch_crashed")
            )

    def _failed(self, error: FetchError) -> None:
        if self._is_over:
            # The fetch was interrupted: there is nothing to say of Flagsmith.
            return
        self._schedule.failed(time.monotonic(), error.retry_after)
        self._activity.failed(str(error))
        reserve = self._holder.fall_back()
        serving = "defaults serve" if reserve is None else "the last good flags go on serving"
        self._episode.problem(f"{error} Until it answers, {serving}; it is tried again.")
        if reserve is not None:
            self._listening.start(reserve.environment_id)
        signals.send(signals.refresh_failed, self._app, error=error)
        if self.role is Role.LEADER and self._fleet is not None:
            self._failed_as_leader += 1
            if self._failed_as_leader % _MOST_FAILURES_OF_A_LEADER == 0:
                self._fleet.step_down()

    def _answered(self, snapshot: Snapshot) -> None:
        self._failed_as_leader = 0
        self._activity.answered()
        served = self._holder.snapshot
        if served is not None and self._schedule.held is None:
            self._schedule.hold(served.epoch, time.monotonic())
        held = self._schedule.held
        verdict, given_up = self._schedule.answered(snapshot.epoch, time.monotonic())
        for epoch in given_up:
            logger.warning(
                "The stream announced a change at %s that Flagsmith's API never served: its answer "
                "is of %s. It is not asked for again.",
                _moment(epoch),
                _moment(snapshot.epoch),
                extra=logs.fields("epoch_given_up", epoch=epoch),
            )
        if verdict is Verdict.REFUSE:
            self._episode.recovered()
            logger.debug(
                "An answer older than the flags held was left aside.",
                extra=logs.fields("answer_left_aside", epoch=snapshot.epoch),
            )
            return
        if verdict is Verdict.TAKE_OLDER:
            logger.warning(
                "Flagsmith's API keeps serving flags of %s, older than those of %s held so far; "
                "they are taken. Was the environment restored from a backup?",
                _moment(snapshot.epoch),
                _moment(held),
                extra=logs.fields("older_flags_taken", epoch=snapshot.epoch),
            )
        replaced = held if verdict is Verdict.TAKE_OLDER else None
        self._publish(snapshot, fetched=True, replaced=replaced)

    def _publish(self, snapshot: Snapshot, *, fetched: bool, replaced: float | None = None) -> None:
        previous, served_nothing = self._holder.publish(snapshot)
        if fetched:
            self._episode.recovered()
        if self.role is not None and self.role.fetches:
            self._listening.start(snapshot.environment_id)
        if fetched and self.role is Role.LEADER and self._fleet is not None:
            # Before the signals: what takes an app's receivers long shall not keep others waiting.
            self._fleet.store(snapshot, replaced)
        signals.send(signals.snapshot_refreshed, self._app, snapshot=snapshot)
        if previous is None:
            self._schedule.saw_change()
        if previous is not None or served_nothing:
            changes = diff(previous, snapshot)
            if changes:
                names = sorted(changes)
                logger.info(
                    "Flags changed: %s.",
                    ", ".join(names),
                    extra=logs.fields("flags_changed", features=names, epoch=snapshot.epoch),
                )
                self._schedule.saw_change()
                signals.send(
                    signals.flags_changed,
                    self._app,
                    changes=changes,
                    snapshot=snapshot,
                    previous=previous,
                    leader=fetched,
                )
        if self._file is not None:
            self._file.write(snapshot)

    def _tell(self, transition: Connected | Disconnected) -> None:
        if isinstance(transition, Connected):
            signals.send(signals.stream_connected, self._app)
        else:
            signals.send(signals.stream_disconnected, self._app, reason=transition.reason)


def _moment(epoch: float | None) -> str:
    """An epoch for a person to read."""
    if epoch is None:
        return "an unknown time"
    try:
        return datetime.fromtimestamp(epoch, timezone.utc).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return f"epoch {epoch:g}"
