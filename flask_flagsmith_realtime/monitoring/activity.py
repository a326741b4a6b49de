"""What an engine's threads did last: they write it down here, and :mod:`.status` reads it.

Every attribute is replaced by one assignment, so nobody takes a lock; the refresher's thread writes
one half, the listener's the other; of a fleet, its own
thread what it hears of the leader. Moments are of the monotonic clock. A forked child begins anew.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

#: What a leader tells of itself, see :attr:`Activity.report`.
LIVE, POLLING, FAILING = "live", "polling", "failing"


@dataclass(frozen=True)
class Trouble:
    """Something that went wrong.

    :param message: what, in words, without a secret.
    :param at: when.
    """

    message: str
    at: float = field(default_factory=time.monotonic)


class Activity:
    """What one engine did in this process."""

    def __init__(self) -> None:
        #: How often Flagsmith's API was asked for the environment.
        self.calls = 0
        #: When flags came last: new ones, or the same again.
        self.answered_at: float | None = None
        #: Whether the newest call failed.
        self.failing = False
        #: How often the stream was opened.
        self.connections = 0
        self.connected_since: float | None = None
        #: Since when flags are polled, unless the stream is open.
        self.disconnected_at: float | None = None
        #: When the stream announced something last.
        self.event_at: float | None = None
        #: Whether another process of the fleet listens and fetches, and this one takes what it has.
        self.follows = False
        #: How that one is supplied, in its own word; see :attr:`report`.
        self.leader_report: str | None = None
        #: When it fetched the flags held, be they the same again; in seconds since 1970.
        self.leader_fetched_at: float | None = None
        self.trouble: Trouble | None = None

    @property
    def report(self) -> str:
        """How this process is supplied, in a word for those that follow it."""
        if self.failing:
            return FAILING
        return POLLING if self.connected_since is None else LIVE

    @property
    def is_announced(self) -> bool:
        """Whether each change is announced: here, or to the leader that this process follows."""
        if self.follows:
            return self.leader_report == LIVE
        return self.connected_since is not None

    @property
    def is_failing(self) -> bool:
        """Whether whoever fetches, here or elsewhere, failed at its newest call."""
        return self.leader_report == FAILING if self.follows else self.failing

    def calling(self) -> None:
        """The API is asked."""
        self.calls += 1

    def answered(self) -> None:
        """It has answered; or the fleet has flags from it."""
        self.answered_at = time.monotonic()
        self.failing = False

    def failed(self, message: str) -> None:
        """It could not be asked, or its answer is of no use."""
        self.failing = True
        self.trouble = Trouble(message)

    def follow(self) -> None:
        """Another process of the fleet listens and fetches from now on."""
        self.follows = True
        self.failing = False

    def heard(self, report: str | None, fetched_at: float | None) -> None:
        """The leader has told how it is supplied.

        :param report: its :attr:`report`; ``None`` if it has told nothing since Redis was emptied.
        :param fetched_at: when it fetched the flags that are held here, if it told.
        """
        if fetched_at is not None:
            self.leader_fetched_at = fetched_at
        if report is None or report == self.leader_report:
            return
        if self.leader_report == LIVE:
            self.disconnected_at = time.monotonic()
        if report == FAILING:
            self.trouble = Trouble("The leader of the fleet could not fetch flags.")
        self.leader_report = report

    def fetch_itself(self) -> None:
        """This process does, from now on."""
        self.leader_report = self.leader_fetched_at = None
        if self.follows:
            self.follows = False
            self.disconnected_at = time.monotonic()

    def connected(self) -> None:
        """The stream is open."""
        self.connections += 1
        self.connected_since = time.monotonic()

    def disconnected(self) -> None:
        """It has ended."""
        self.connected_since = None
        self.disconnected_at = time.monotonic()

    def event(self) -> None:
        """It has announced something."""
        self.event_at = time.monotonic()

    def stream_failed(self, message: str) -> None:
        """It cannot be opened, or broke."""
        self.trouble = Trouble(message)
