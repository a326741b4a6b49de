"""The mailbox between the refresher's thread and those that bring it news.

The listener puts in, and the fleet's thread, and a request that brings a webhook; the refresher
takes out; nobody waits for anybody. However many epochs are announced while the refresher is busy,
the mailbox holds one number: the newest; and of roles and deliveries the last one. Its lock is held
for a few instructions only; a forked child makes a new mailbox.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from ..fleet.election import Role
from ..model import Snapshot

#: Connections and disconnections that are kept for the refresher at most.
_MOST_TRANSITIONS = 64


@dataclass(frozen=True)
class Connected:
    """The stream is open."""


@dataclass(frozen=True)
class Disconnected:
    """The stream has ended.

    :param reason: why, in words.
    """

    reason: str


@dataclass(frozen=True)
class Greeted:
    """The first event of a connection came.

    :param epoch: the epoch that it names, if it names one.
    """

    epoch: float | None


@dataclass(frozen=True)
class RefreshHint:
    """A webhook said that something changed.

    :param moment: when, if it says so, in seconds since 1970. It is not an epoch.
    """

    moment: float | None

    def and_before(self, before: RefreshHint | None) -> RefreshHint:
        """This one and one that came before, in one: the newest moment counts."""
        moments = [self.moment, None if before is None else before.moment]
        return RefreshHint(max((moment for moment in moments if moment is not None), default=None))


@dataclass(frozen=True)
class SharedSnapshot:
    """What lies in the fleet's Redis.

    :param snapshot: the flags; ``None`` if none lie there.
    :param replaced: the newer epoch that was replaced by them on purpose, if one was.
    """

    snapshot: Snapshot | None
    replaced: float | None = None


@dataclass(frozen=True)
class Mail:
    """What has come in since the last time.

    :param newest: the newest epoch announced, if any was.
    :param unnumbered: whether an event came in that names no epoch.
    :param greeted: the first event of the newest connection, if it came in.
    :param transitions: what happened to the connection, in order.
    :param told: what webhooks said, if any came.
    :param delivery: what lies in the fleet's Redis, if that is news.
    :param role: what this process is to its fleet, if that is news.
    :param closed: whether the work is over.
    """

    newest: float | None = None
    unnumbered: bool = False
    greeted: Greeted | None = None
    transitions: tuple[Connected | Disconnected, ...] = ()
    told: RefreshHint | None = None
    delivery: SharedSnapshot | None = None
    role: Role | None = None
    closed: bool = False


class Mailbox:
    """Where the newest announced epoch waits for the refresher."""

    def __init__(self) -> None:
        #: Epochs whose announcement is no news. The refresher replaces it, by one assignment.
        #: Without it, one that a server repeats for ever could hide a real one behind it.
        self.known: frozenset[float] = frozenset()
        self._condition = threading.Condition()
        self._newest: float | None = None
        self._unnumbered = False
        self._greeted: Greeted | None = None
        self._awaits_greeting = False
        self._nudged = False
        self._closed = False
        self._told: RefreshHint | None = None
        self._delivery: SharedSnapshot | None = None
        self._role: Role | None = None
        self._transitions: deque[Connected | Disconnected] = deque(maxlen=_MOST_TRANSITIONS)

    def announce(self, epoch: float | None) -> None:
        """Put in the epoch of an event, or ``None`` for an event that names none."""
        with self._condition:
            if self._awaits_greeting:
                self._greeted = Greeted(epoch)
                self._awaits_greeting = False
            if epoch is None:
                self._unnumbered = True
            elif self._newest is None or self._newest in self.known:
                self._newest = epoch
            elif epoch not in self.known:
                self._newest = max(self._newest, epoch)
            self._condition.notify()

    def transition(self, transition: Connected | Disconnected) -> None:
        """Put in that the connection has come or gone."""
        with self._condition:
            self._transitions.append(transition)
            self._greeted = None
            self._awaits_greeting = isinstance(transition, Connected)
            self._condition.notify()

    def tell(self, told: RefreshHint) -> None:
        """Put in that a webhook came. Of several, the newest moment counts."""
        with self._condition:
            self._told = told.and_before(self._told)
            self._condition.notify()

    def deliver(self, delivery: SharedSnapshot) -> None:
        """Put in what lies in the fleet's Redis."""
        with self._condition:
            self._delivery = delivery
            self._condition.notify()

    def assign(self, role: Role) -> None:
        """Put in what this process is to its fleet."""
        with self._condition:
            self._role = role
            self._condition.notify()

    def nudge(self) -> None:
        """Wake the refresher although nothing has come in."""
        with self._condition:
            self._nudged = True
            self._condition.notify()

    @property
    def is_closed(self) -> bool:
        """Whether the work is over."""
        return self._closed

    def close(self) -> None:
        """Tell the refresher that the work is over."""
        with self._condition:
            self._closed = True
            self._condition.notify()

    def take(self, timeout: float | None) -> Mail:
        """Wait for mail and empty the mailbox.

        :param timeout: how long to wait at most, in seconds; ``None`` for as long as it takes.
        """
        with self._condition:
            self._condition.wait_for(self._has_mail, timeout)
            mail = Mail(
                newest=self._newest,
                unnumbered=self._unnumbered,
                greeted=self._greeted,
                transitions=tuple(self._transitions),
                told=self._told,
                delivery=self._delivery,
                role=self._role,
                closed=self._closed,
            )
            self._newest = self._greeted = self._told = self._delivery = self._role = None
            self._unnumbered = self._nudged = False
            self._transitions.clear()
            return mail

    def _has_mail(self) -> bool:
        news = (self._newest, self._told, self._delivery, self._role)
        announced = self._unnumbered or any(item is not None for item in news)
        return announced or bool(self._transitions) or self._nudged or self._closed
