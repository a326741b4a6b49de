"""Decides when to fetch, which answers to take, and what an epoch that repeats costs. Pure.

A :class:`Schedule` has no clock, no thread and no network. Its methods are told of events, answers,
failures and the stream's state, with the time (seconds of any monotonic clock) and the epoch, if
there is one; :attr:`Schedule.due` is the time of the next fetch. The refresher's thread alone owns
it.

It promises, for any order of these:

- The held epoch never falls, except to an older state that the API keeps serving for five minutes.
  An answer that is not older than the held epoch is taken at once.
- An announced epoch is *pending* until an answer has it. After about a minute it is *given up*. A
  server that repeats a pending or given-up epoch causes no fetch. If it greets each connection with
  a given-up epoch, fetches come at the pace of polling, since a change may hide behind it.
- Two fetches are never closer together than the minimum interval, and no fetch comes before the
  time that the server asked for by Retry-After.
- The number of fetches is bounded: nine for each distinct epoch, one for each connection of the
  stream and each event without an epoch, three for each hint, and the polls. An answer older than
  the held epoch costs one more fetch.

In remote evaluation an answer's epoch is that of a header, which may lag by a minute and differ
between replicas, while the flags are fresh. So an answer with the held epoch is taken like a newer
one. An answer with an older epoch is refused: its flags may be a replica's old ones. An event is
served, whatever the header, by two taken answers that were fetched after it; the second comes a
second later, for servers that announce a change before they commit it.
"""

from __future__ import annotations

import enum
import math
import random
from collections import ChainMap
from collections.abc import Collection
from typing import Any

import msgspec

from ..client import RETRY_SECONDS, Random, bounded_retry_after, jitter, retry_delay
from ..model import may_hide_newer
from .source import RefreshHint

#: How long a connection may take to greet, in seconds.
GREETING_SECONDS = 1.0
#: How long the API must keep serving an older state before it is taken, in seconds.
OLDER_TAKEN_AFTER_SECONDS = 300.0

#: In remote evaluation, the delay before the answer that confirms the first, in seconds.
CONFIRMATION_SECONDS = 1.0
#: The delays before the retries for a hint whose change no answer shows, in seconds.
HINT_RETRY_SECONDS = (1.0, 5.0)

_MOST_PENDING = 32
_MOST_GIVEN_UP = 256


class Verdict(enum.Enum):
    """The decision about an answer."""

    TAKE = "take"
    #: Older than the held epoch, and taken all the same: the API has kept serving it.
    TAKE_OLDER = "take older"
    REFUSE = "refuse"


class _Pending(msgspec.Struct):
    """An announced epoch, or a hint, that no answer has satisfied yet."""

    due: float
    since: float
    tries: int = 0
    is_confirmed: bool = False


class Schedule(msgspec.Struct):
    """Decides when the next fetch is due.

    :param min_interval: the shortest time between the starts of two fetches, in seconds.
    :param poll_interval: the time between fetches while the stream is down, in seconds.
    :param live_interval: the same while the stream is up; 0 for never.
    :param random: returns numbers between 0 and 1, for the jitter.
    :param remote: ``True`` in remote evaluation, where flags are newer than their epoch.
    """

    min_interval: float
    poll_interval: float
    live_interval: float
    random: Random = random.random
    remote: bool = False

    held: float | None = None
    live: bool = False

    _started_at: float = -math.inf
    _held_since: float = -math.inf
    _wanted: bool = True
    _catch_up_at: float = math.inf
    _catch_up_not_before: float = -math.inf
    _poll_at: float = math.inf
    _pending: dict[float, _Pending] = {}
    _given_up: dict[float, None] = {}
    _failures: int = 0
    _retry_at: float = math.inf
    _not_before: float = -math.inf
    _older_taken_at: float = math.inf
    _hint: _Pending | None = None
    _hint_moment: float | None = None

    @property
    def due(self) -> float:
        """The time of the next fetch; infinity for never."""
        if self._failures:
            wish = self._retry_at
        elif self._wanted:
            wish = -math.inf
        else:
            pending = (ask.due for ask in self._pending.values())
            hint = math.inf if self._hint is None else self._hint.due
            catch_up = max(self._catch_up_at, self._catch_up_not_before)
            wish = min(self._poll_at, catch_up, self._older_taken_at, hint, *pending)
        return max(wish, self._started_at + self.min_interval, self._not_before)

    @property
    def known(self) -> Collection[float]:
        """The epochs whose announcement is no news, pending or given up: a view, which any thread
        may ask for an epoch."""
        return ChainMap[float, Any](self._pending, self._given_up)

    @property
    def open_hint(self) -> RefreshHint | None:
        """The hint that no answer has served yet."""
        return None if self._hint is None else RefreshHint(self._hint_moment)

    @property
    def unserved_since(self) -> float | None:
        """The time since which an announcement waits for an answer that has it, or since which
        answers are older than the held epoch."""
        return min((pending.since for pending in self._pending.values()), default=None)

    def hold(self, epoch: float | None, now: float) -> None:
        """Takes over the epoch of a snapshot that is served already: inherited at a fork, from a
        file or from Redis. Older answers are refused from now on; the first fetch still comes."""
        if epoch is not None and (self.held is None or epoch > self.held):
            self.held = epoch
            self._held_since = now

    def wait_until(self, at: float) -> None:
        """Puts the first fetch off."""
        self._not_before = at

    def hinted(self, moment: float | None, now: float) -> None:
        """Notes a hint: there are up to three fetches, until an answer shows a change or is not
        older than the hint's moment.

        The moment is not an epoch: an override for one identity leaves the environment's epoch as
        it was, and a flag's change is dated by another reading of the clock.
        """
        self._hint = _Pending(due=now, since=now)
        self._hint_moment = moment
        self._want(now)

    def saw_change(self, epoch: float | None) -> None:
        """Notes that an answer brought a change: it serves the hint, unless it is older."""
        moment = self._hint_moment
        if moment is None or epoch is None or epoch >= moment:
            self._hint = None

    def connected(self, now: float) -> None:
        """Notes that the stream is up. Unless a greeting comes, a change may have been missed."""
        self.live = True
        self._catch_up_at = min(self._catch_up_at, now + GREETING_SECONDS)
        if not self._failures and not self._wanted:
            self._poll_at = self._started_at + self._interval()

    def disconnected(self, now: float) -> None:
        """Notes that the stream is down: polling goes on at its faster pace from now on."""
        self.live = False
        self._poll_at = min(self._poll_at, now + self._interval())

    def greeted(self, epoch: float | None) -> None:
        """Notes the first event of a connection: it announces all that the gap before has hidden,
        so no catch-up is needed.

        A pending or given-up epoch proves less, since the server may repeat it forever while other
        changes pass. Then the catch-up comes, at the pace of polling.
        """
        newer = epoch is not None and self.held is not None and epoch > self.held
        if newer and epoch in self.known:
            self._catch_up_not_before = self._started_at + self.poll_interval
        else:
            self._catch_up_at = math.inf

    def announced(self, epoch: float | None, now: float) -> bool:
        """Notes an event of the stream.

        :returns: ``True`` if it announces a change.
        """
        if epoch is None:
            self._want(now)
        elif epoch in self.known:
            return False
        elif self.held is None or epoch > self.held:
            self._await(epoch, due=now, since=now)
            self._want(now)
        elif may_hide_newer(epoch, self.held) and self._started_at < self._held_since + 1:
            # Once a fetch has begun a second after that epoch was first held, nothing is hidden.
            self._want(now)
        else:
            return False
        return True

    def started(self, now: float) -> None:
        """Notes that a fetch begins. It serves all that happened before."""
        self._started_at = now
        self._wanted = False
        self._retry_at = math.inf
        if self._catch_up_at <= now:
            self._catch_up_at = math.inf

    def answered(self, epoch: float | None, now: float) -> tuple[Verdict, tuple[float, ...]]:
        """Decides about an answer of the API.

        :returns: the decision, and the epochs that are given up because no answer ever had them.
        """
        self._failures = 0
        self._not_before = -math.inf
        self._poll_at = now + self._interval()
        verdict = self._decide(epoch, now)
        if verdict is not Verdict.REFUSE and epoch is not None and epoch != self.held:
            self.held = epoch
            self._held_since = now
        self._count_hint(epoch, now)
        return verdict, self._count_answer(epoch, now, taken=verdict is not Verdict.REFUSE)

    def failed(self, now: float, retry_after: float | None = None) -> None:
        """Notes a failed fetch. It is retried after growing delays, then at the pace of polling."""
        if self._failures < len(RETRY_SECONDS):
            delay = retry_delay(self._failures, self.random)
        else:
            delay = jitter(self.poll_interval, self.random)
        self._failures += 1
        asked = bounded_retry_after(retry_after)
        if asked is not None:
            self._not_before = now + asked + self.random() * min(0.1 * asked, 5.0)
        self._retry_at = max(now + delay, self._not_before)

    def _interval(self) -> float:
        seconds = self.live_interval if self.live else self.poll_interval
        return jitter(seconds, self.random) if seconds else math.inf

    def _want(self, now: float) -> None:
        self._wanted = True
        # An event shows that Flagsmith is alive: a failing API is tried again for it.
        self._retry_at = now

    def _await(self, epoch: float, due: float, since: float) -> None:
        if len(self._pending) >= _MOST_PENDING:
            # The oldest: the answers that the others wait for may have it as well.
            self._give_up(next(iter(self._pending)))
        self._pending[epoch] = _Pending(due, since)

    def _decide(self, epoch: float | None, now: float) -> Verdict:
        if epoch is None or self.held is None or epoch >= self.held:
            self._older_taken_at = math.inf
            return Verdict.TAKE
        if now >= self._older_taken_at:
            self._older_taken_at = math.inf
            return Verdict.TAKE_OLDER
        self._older_taken_at = min(self._older_taken_at, now + OLDER_TAKEN_AFTER_SECONDS)
        if self.held not in self.known:
            # The replica that answered is behind the held epoch, so it may be behind a newer one.
            self._await(self.held, due=self._started_at, since=now)
        return Verdict.REFUSE

    def _count_hint(self, epoch: float | None, now: float) -> None:
        ask, moment = self._hint, self._hint_moment
        if ask is None:
            return
        if epoch is not None and moment is not None and epoch >= moment:
            self._hint = None
        elif ask.due <= self._started_at:
            if ask.tries < len(HINT_RETRY_SECONDS):
                ask.due = now + HINT_RETRY_SECONDS[ask.tries] * (1.0 + 0.2 * self.random())
                ask.tries += 1
            else:
                self._hint = None

    def _count_answer(self, epoch: float | None, now: float, taken: bool) -> tuple[float, ...]:
        given_up = []
        for asked, ask in list(self._pending.items()):
            if epoch is None:
                # Answers without an epoch prove nothing: the same announcement stays no news.
                self._give_up(asked)
            elif epoch >= asked:
                del self._pending[asked]
            elif ask.due > self._started_at:
                continue
            elif self.remote and taken and ask.is_confirmed:
                self._give_up(asked)
            elif self.remote and taken:
                ask.is_confirmed = True
                ask.due = now + CONFIRMATION_SECONDS * (1.0 + 0.2 * self.random())
            elif ask.tries < len(RETRY_SECONDS):
                ask.due = now + retry_delay(ask.tries, self.random)
                ask.tries += 1
            else:
                self._give_up(asked)
                if asked != self.held:
                    given_up.append(asked)
        return tuple(given_up)

    def _give_up(self, epoch: float) -> None:
        # In this order: the listener's thread must find it in one of them.
        self._given_up[epoch] = None
        del self._pending[epoch]
        if len(self._given_up) > _MOST_GIVEN_UP:
            del self._given_up[next(iter(self._given_up))]
