"""What an engine's threads did last: they write it down here, and :mod:`.status` reads it.

Every attribute is replaced by one assignment, so nobody takes a lock; the refresher's thread writes
one half, the listener's the other. Moments are of the monotonic clock. A forked child begins anew.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field


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
        self.trouble: Trouble | None = None

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

    def fetch_itself(self) -> None:
        """This process does, from now on."""
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
