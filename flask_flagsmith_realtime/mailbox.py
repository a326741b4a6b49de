"""The mailbox between the stream's thread and the refresher's.

The listener puts in, the refresher takes out; neither waits for the other. However many epochs are
announced while the refresher is busy, the mailbox holds one number: the newest. Its lock is held
for a few instructions only; a forked child makes a new mailbox.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

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
class Mail:
    """What has come in since the last time.

    :param newest: the newest epoch announced, if any was.
    :param unnumbered: whether an event came in that names no epoch.
    :param greeted: whether an event came in since the newest connection.
    :param transitions: what happened to the connection, in order.
    :param closed: whether the work is over.
    """

    newest: float | None = None
    unnumbered: bool = False
    greeted: bool = False
    transitions: tuple[Connected | Disconnected, ...] = ()
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
        self._greeted = False
        self._nudged = False
        self._closed = False
        self._transitions: deque[Connected | Disconnected] = deque(maxlen=_MOST_TRANSITIONS)

    def announce(self, epoch: float | None) -> None:
        """Put in the epoch of an event, or ``None`` for an event that names none."""
        with self._condition:
            self._greeted = True
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
            self._greeted = False
            self._condition.notify()

    def nudge(self) -> None:
        """Wake the refresher although nothing has come in."""
        with self._condition:
            self._nudged = True
            self._condition.notify()

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
                closed=self._closed,
            )
            self._newest = None
            self._unnumbered = self._greeted = self._nudged = False
            self._transitions.clear()
            return mail

    def _has_mail(self) -> bool:
        announced = self._newest is not None or self._unnumbered
        return announced or bool(self._transitions) or self._nudged or self._closed
