"""The mailbox of the refresher's thread.

The listener's thread and request threads (a webhook) put in; the refresher's thread takes out; no
thread waits for another. However many epochs are announced while the refresher is busy, the mailbox
holds one number: the newest. Its lock is held for a few instructions only. A forked child makes a
new mailbox.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Container

import msgspec

from .source import RefreshHint

#: The most transitions of the stream that wait for the refresher.
_MOST_TRANSITIONS = 64


class Mail(msgspec.Struct):
    """Everything that came in since the mailbox was emptied last.

    :param newest: the newest announced epoch.
    :param unnumbered: ``True`` if an event without an epoch came.
    :param greeting: the epoch of the newest connection's first event, which may be ``None``; empty
        without such an event.
    :param transitions: what happened to the stream, in order: ``None`` where it was opened, the
        reason where it ended.
    :param hint: the webhooks, merged into one.
    """

    newest: float | None = None
    unnumbered: bool = False
    greeting: tuple[float | None, ...] = ()
    transitions: deque[str | None] = msgspec.field(
        default_factory=lambda: deque(maxlen=_MOST_TRANSITIONS)
    )
    hint: RefreshHint | None = None


class Mailbox:
    """Holds the newest announced epoch for the refresher."""

    def __init__(self, known: Container[float] = ()) -> None:
        #: Epochs whose announcement is no news: one that a server repeats forever must not hide a
        #: real one.
        self.known = known
        #: ``True`` once the refresher has to end.
        self.is_closed = False
        self._condition = threading.Condition()
        self._mail = Mail()
        #: The hint that was taken and is not noted yet.
        self._taken_hint: RefreshHint | None = None
        self._awaits_greeting = False

    def announce(self, epoch: float | None) -> None:
        """Puts in the epoch of an event, or ``None`` for an event without one."""
        with self._condition:
            mail = self._mail
            if self._awaits_greeting:
                mail.greeting = (epoch,)
                self._awaits_greeting = False
            if epoch is None:
                mail.unnumbered = True
            elif mail.newest is None or mail.newest in self.known:
                mail.newest = epoch
            elif epoch not in self.known:
                mail.newest = max(mail.newest, epoch)
            self._condition.notify()

    def connected(self) -> None:
        """Puts in that the stream has opened."""
        self._change(None)

    def disconnected(self, reason: str) -> None:
        """Puts in that the stream has ended."""
        self._change(reason)

    def _change(self, transition: str | None) -> None:
        with self._condition:
            self._mail.transitions.append(transition)
            self._mail.greeting = ()
            self._awaits_greeting = transition is None
            self._condition.notify()

    def hint(self, hint: RefreshHint) -> None:
        """Puts in a request for fresh flags."""
        with self._condition:
            self._mail.hint = hint.merged_with(self._mail.hint)
            self._condition.notify()

    def noted_hint(self) -> None:
        """The refresher has noted the hint that it took."""
        with self._condition:
            self._taken_hint = None

    def close(self) -> RefreshHint | None:
        """Ends the refresher.

        :returns: the hint that it has not noted.
        """
        with self._condition:
            self.is_closed = True
            self._condition.notify()
            hint, taken = self._mail.hint, self._taken_hint
            return taken if hint is None else hint.merged_with(taken)

    def take(self, timeout: float | None) -> Mail:
        """Waits for mail, or for the end, and empties the mailbox.

        :param timeout: the longest wait in seconds; ``None`` for no bound.
        """
        with self._condition:
            self._condition.wait_for(lambda: self.is_closed or self._mail != Mail(), timeout)
            mail, self._mail = self._mail, Mail()
            if mail.hint is not None:
                self._taken_hint = mail.hint.merged_with(self._taken_hint)
            return mail
