"""The mailbox of the refresher's thread.

The listener's thread and request threads (a webhook) put in; the refresher's thread takes out; no
thread waits for another. However many epochs are announced while the refresher is busy, the mailbox
holds one number: the newest. Its lock is held for a few instructions only. A forked child makes a
new mailbox.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

#: The most transitions of the stream that wait for the refresher.
_MOST_TRANSITIONS = 64


@dataclass(frozen=True)
class Connected:
    """The stream is open."""


@dataclass(frozen=True)
class Disconnected:
    """The stream has ended.

    :param reason: the cause, as text.
    """

    reason: str


@dataclass(frozen=True)
class Greeted:
    """The first event of a connection.

    :param epoch: its epoch, if it has one.
    """

    epoch: float | None


@dataclass(frozen=True)
class RefreshHint:
    """A request for fresh flags from outside the stream, such as a webhook.

    :param moment: the time of the change that the webhook names, in seconds since 1970. It is not
        an epoch. ``None`` if no answer's epoch can prove that the change is in it.
    """

    moment: float | None = None

    def merged_with(self, earlier: RefreshHint | None) -> RefreshHint:
        """Returns one hint for this one and an earlier one: the newest moment counts."""
        moments = [self.moment, None if earlier is None else earlier.moment]
        return RefreshHint(max((moment for moment in moments if moment is not None), default=None))


@dataclass(frozen=True)
class Mail:
    """Everything that came in since the mailbox was emptied last.

    :param newest: the newest announced epoch.
    :param unnumbered: ``True`` if an event without an epoch came.
    :param greeted: the first event of the newest connection.
    :param transitions: the connections and disconnections of the stream, in order.
    :param hint: the webhooks, merged into one.
    :param closed: ``True`` if the refresher has to end.
    """

    newest: float | None = None
    unnumbered: bool = False
    greeted: Greeted | None = None
    transitions: tuple[Connected | Disconnected, ...] = ()
    hint: RefreshHint | None = None
    closed: bool = False


class Mailbox:
    """Holds the newest announced epoch for the refresher."""

    def __init__(self) -> None:
        #: Epochs whose announcement is no news. The refresher replaces the set by one assignment.
        #: Without it, an epoch that a server repeats forever could hide a real one.
        self.known: frozenset[float] = frozenset()
        self._condition = threading.Condition()
        self._newest: float | None = None
        self._unnumbered = False
        self._greeted: Greeted | None = None
        self._awaits_greeting = False
        self._closed = False
        self._hint: RefreshHint | None = None
        self._transitions: deque[Connected | Disconnected] = deque(maxlen=_MOST_TRANSITIONS)

    def announce(self, epoch: float | None) -> None:
        """Puts in the epoch of an event, or ``None`` for an event without one."""
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
        """Puts in that the stream has opened or ended."""
        with self._condition:
            self._transitions.append(transition)
            self._greeted = None
            self._awaits_greeting = isinstance(transition, Connected)
            self._condition.notify()

    def hint(self, hint: RefreshHint) -> None:
        """Puts in a request for fresh flags."""
        with self._condition:
            self._hint = hint.merged_with(self._hint)
            self._condition.notify()

    @property
    def is_closed(self) -> bool:
        """``True`` once the refresher has to end."""
        return self._closed

    def close(self) -> RefreshHint | None:
        """Ends the refresher.

        :returns: the hint that it has not taken.
        """
        with self._condition:
            self._closed = True
            self._condition.notify()
            return self._hint

    def take(self, timeout: float | None) -> Mail:
        """Waits for mail and empties the mailbox.

        :param timeout: the longest wait in seconds; ``None`` for no bound.
        """
        with self._condition:
            self._condition.wait_for(self._has_mail, timeout)
            mail = Mail(
                newest=self._newest,
                unnumbered=self._unnumbered,
                greeted=self._greeted,
                transitions=tuple(self._transitions),
                hint=self._hint,
                closed=self._closed,
            )
            self._newest = self._greeted = self._hint = None
            self._unnumbered = False
            self._transitions.clear()
            return mail

    def _has_mail(self) -> bool:
        announced = self._unnumbered or self._newest is not None or self._hint is not None
        return announced or bool(self._transitions) or self._closed
