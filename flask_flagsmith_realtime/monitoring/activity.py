"""The activity of an engine's threads: they write it, :mod:`.status` reads it.

Each attribute is replaced by one assignment, by one thread, so there is no lock: the listener's
thread writes of the stream, the fleet's of the leader, the refresher's the rest. Moments are of the
monotonic clock. A forked child makes a new one.
"""

from __future__ import annotations

import time

import msgspec

#: The reports of a leader, see :attr:`Activity.report`.
LIVE, POLLING, FAILING = "live", "polling", "failing"

#: How long an announced change may stay unserved before the flags count as stale, in seconds.
UNSERVED_SECONDS = 5.0


class Trouble(msgspec.Struct, frozen=True):
    """A failure."""

    #: Its cause, without a secret.
    message: str
    at: float = msgspec.field(default_factory=time.monotonic)


class Activity:
    """The activity of one engine in this process."""

    def __init__(self) -> None:
        #: The number of calls of the API for the environment.
        self.calls = 0
        #: When flags came last, new ones or the same again.
        self.answered_at: float | None = None
        #: ``True`` if the newest call failed, or the newest read of a follower.
        self.failing = False
        #: The number of connections of the stream.
        self.connections = 0
        self.connected_since: float | None = None
        #: When polling began, unless the stream is open.
        self.disconnected_at: float | None = None
        #: When the stream announced something last.
        self.event_at: float | None = None
        #: ``True`` if this process fetches for its fleet, ``False`` if it follows the leader,
        #: ``None`` without a fleet.
        self.leader: bool | None = None
        #: The leader's :attr:`report`.
        self.leader_report: str | None = None
        #: When the leader fetched the flags held, or the same again; in seconds since 1970.
        self.leader_fetched_at: float | None = None
        self.trouble: Trouble | None = None
        #: The receiver that has run for long, while it does.
        self.slow_receiver: str | None = None
        #: The time of the oldest announcement that no answer has served yet.
        self.unserved_since: float | None = None

    @property
    def report(self) -> str:
        """The state of this process in one word, for its followers."""
        if self.failing or self.is_unserved(time.monotonic()):
            return FAILING
        return POLLING if self.connected_since is None else LIVE

    @property
    def is_announced(self) -> bool:
        """``True`` if each change is announced, here or to the leader that this process follows."""
        if self.leader is False:
            return self.leader_report == LIVE
        return self.connected_since is not None

    @property
    def is_failing(self) -> bool:
        """``True`` if the newest call failed, here or in the leader."""
        return self.failing or (self.leader is False and self.leader_report == FAILING)

    def is_unserved(self, now: float) -> bool:
        """Returns ``True`` if the API has not served an announced change, or has answered older
        flags, for longer than an API that works needs."""
        since = self.unserved_since
        return since is not None and now - since > UNSERVED_SECONDS

    def answered(self) -> None:
        """Notes flags from the API, or from the fleet."""
        self.answered_at = time.monotonic()
        self.failing = False

    def failed(self, message: str) -> None:
        """Notes a failed call."""
        self.failing = True
        self.trouble = Trouble(message)

    def take_role(self, leader: bool | None) -> None:
        """Notes the role of this process in its fleet: see :attr:`leader`."""
        followed, self.leader = self.leader is False, leader
        if leader is False:
            self.failing = False
            return
        self.leader_report = self.leader_fetched_at = None
        if followed:
            self.disconnected_at = time.monotonic()

    def leader_reported(self, report: str | None, fetched_at: float | None) -> None:
        """Notes the leader's :attr:`report`, and when it fetched the flags that are held here, as
        far as they are known."""
        if fetched_at is not None:
            self.leader_fetched_at = fetched_at
        if report is None or report == self.leader_report:
            return
        if self.leader_report == LIVE:
            self.disconnected_at = time.monotonic()
        if report == FAILING:
            self.trouble = Trouble("The leader of the fleet could not fetch flags.")
        self.leader_report = report

    def connected(self) -> None:
        """Notes that the stream has opened."""
        self.connections += 1
        self.connected_since = time.monotonic()

    def disconnected(self) -> None:
        """Notes that the stream has ended."""
        self.connected_since = None
        self.disconnected_at = time.monotonic()
