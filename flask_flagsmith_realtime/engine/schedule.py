"""When to fetch: decides from events, answers, failures and the stream's state. Pure.

A :class:`Schedule` has no clock, no thread and no network. It is told what happened and at what
time (seconds of any monotonic clock), and says when the next fetch is due. The refresher's thread
alone owns it.

What it promises, for any order of events, answers and failures:

- The held epoch never falls, but to an older state that the API keeps serving for five minutes. And
  what the API answers is taken at once, unless it is older than what is held.
- An epoch that was announced is asked for until an answer has it, about a minute in all. Then it is
  settled: remembered by value, so that a server which goes on announcing it costs nothing more,
  or, where it greets each connection with it, no more than polling.
- Two fetches are never closer together than the minimum interval, and no fetch comes before the
  time that the server asked for by Retry-After.
- The number of fetches is bounded: nine for each distinct epoch, one for each connection of the
  stream and each event without an epoch, three for each webhook, and the polls. An answer older
  than what is held costs one more: it is asked for again.

In remote evaluation an answer's epoch is that of a header which may lag by a minute, and differ
from one replica to the next, while the flags themselves are fresh. An answer with the epoch held
is therefore taken like a newer one. One with an older header is left aside, fresh as its flags may
be, for nothing tells them from a replica's old ones; and it is asked for again until a header comes
that is not behind.
"""

from __future__ import annotations

import enum
import math
import random
from dataclasses import dataclass, field

from ..client import RETRY_SECONDS, Random, bounded_retry_after, jitter, retry_delay
from ..model import may_hide_newer

#: How long after a connection its greeting is waited for, in seconds.
GREETING_SECONDS = 1.0
#: How long the API must keep serving an older state until it is taken, in seconds.
OLDER_TAKEN_AFTER_SECONDS = 300.0

#: When a change that a webhook told of is asked for again if no answer shows one, in seconds.
TOLD_RETRY_SECONDS = (1.0, 5.0)

_MOST_ASKED = 32
_MOST_SETTLED = 256


class Verdict(enum.Enum):
    """What to do with an answer."""

    TAKE = "take"
    #: Older than what is held, and taken all the same: the API has kept serving it.
    TAKE_OLDER = "take older"
    REFUSE = "refuse"


@dataclass
class _Ask:
    """An announced epoch that no answer has had yet."""

    due: float
    tries: int = 0


@dataclass
class Schedule:
    """When the next fetch is due.

    :param min_interval: shortest time between the starts of two fetches, in seconds.
    :param poll_interval: time between fetches while the stream is down, in seconds.
    :param live_interval: the same while it is up; 0 for never.
    :param random: a source of numbers between 0 and 1, for the jitter.
    """

    min_interval: float
    poll_interval: float
    live_interval: float
    random: Random = random.random

    held: float | None = field(default=None, init=False)
    live: bool = field(default=False, init=False)

    _started_at: float = field(default=-math.inf, init=False)
    _held_since: float = field(default=-math.inf, init=False)
    _wanted: bool = field(default=True, init=False)
    _catch_up_at: float = field(default=math.inf, init=False)
    _catch_up_not_before: float = field(default=-math.inf, init=False)
    _poll_at: float = field(default=math.inf, init=False)
    _pending: dict[float, _Ask] = field(default_factory=dict, init=False)
    _given_up: dict[float, None] = field(default_factory=dict, init=False)
    _failures: int = field(default=0, init=False)
    _retry_at: float = field(default=math.inf, init=False)
    _not_before: float = field(default=-math.inf, init=False)
    _older_taken_at: float = field(default=math.inf, init=False)
    _told: _Ask | None = field(default=None, init=False)
    _told_moment: float | None = field(default=None, init=False)

    @property
    def due(self) -> float:
        """When the next fetch is due; infinity for never."""
        if self._failures:
            wish = self._retry_at
        elif self._wanted:
            wish = -math.inf
        else:
            asks = (ask.due for ask in self._pending.values())
            told = math.inf if self._told is None else self._told.due
            catch_up = max(self._catch_up_at, self._catch_up_not_before)
            wish = min(self._poll_at, catch_up, self._older_taken_at, told, *asks)
        return max(wish, self._started_at + self.min_interval, self._not_before)

    @property
    def known(self) -> frozenset[float]:
        """The epochs whose announcement is no news: being asked for, or settled."""
        return frozenset(self._pending) | frozenset(self._given_up)

    def hold(self, epoch: float | None, now: float) -> None:
        """A snapshot is served that no fetch of this schedule brought: inherited at a fork, or read
        from a file. Nothing older than it is taken; the first fetch comes all the same."""
        if epoch is not None and (self.held is None or epoch > self.held):
            self.held = epoch
            self._held_since = now

    def adopted(self, epoch: float | None, now: float) -> None:
        """Another process has fetched what is served from now on, be it older than what was."""
        if epoch is not None and epoch != self.held:
            self.held = epoch
            self._held_since = now

    def catch_up(self, now: float) -> None:
        """Changes may have passed unseen: a fetch is due at once."""
        self._want(now)

    def told(self, moment: float | None, now: float) -> None:
        """A webhook said that something changed.

        Its moment is no epoch. An override for one identity leaves the environment's epoch as it
        was, and a flag's change is dated by another reading of the clock. So it is not asked for
        like an epoch, but a few times, until an answer shows a change or is not older.

        :param moment: when it changed, if the webhook says so.
        """
        self._told = _Ask(due=now)
        self._told_moment = moment
        self._want(now)

    def saw_change(self) -> None:
        """An answer shows what webhooks told of."""
        self._told = None

    def connected(self, now: float) -> None:
        """The stream is up. A change may have passed unseen before, until a greeting says no."""
        self.live = True
        self._catch_up_at = min(self._catch_up_at, now + GREETING_SECONDS)
        if not self._failures and not self._wanted:
            self._poll_at = self._started_at + self._interval()

    def disconnected(self, now: float) -> None:
        """The stream is down: polling goes on at its faster pace, from now on."""
        self.live = False
        self._poll_at = min(self._poll_at, now + self._interval())

    def greeted(self, epoch: float | None) -> None:
        """The first event after a connection came: what it announces stands for all before it.

        Not so if that was announced before, and no answer ever had it: then it may be repeated for
        ever, and a change hide behind it. There is a catch-up all the same, at polling's pace.

        :param epoch: the epoch that it names, if it names one.
        """
        is_known = epoch in self._pending or epoch in self._given_up
        if is_known and epoch is not None and self.held is not None and epoch > self.held:
            self._catch_up_not_before = self._started_at + self.poll_interval
        else:
            self._catch_up_at = math.inf

    def announced(self, epoch: float | None, now: float) -> None:
        """The stream sent an event.

        :param epoch: the epoch that it names, if it names one.
        """
        if epoch is None:
            self._want(now)
        elif epoch in self._given_up or epoch in self._pending:
            pass
        elif self.held is None or epoch > self.held:
            self._ask(epoch, now)
            self._want(now)
        elif may_hide_newer(epoch, self.held) and self._started_at < self._held_since + 1:
            # Once a fetch has begun a second after that epoch was first held, nothing is hidden.
            self._want(now)

    def started(self, now: float) -> None:
        """A fetch begins. It serves whatever was wanted up to now."""
        self._started_at = now
        self._wanted = False
        self._retry_at = math.inf
        if self._catch_up_at <= now:
            self._catch_up_at = math.inf

    def answered(self, epoch: float | None, now: float) -> tuple[Verdict, tuple[float, ...]]:
        """The API answered.

        :param epoch: the epoch of the answer, if it has one.
        :returns: what to do with it, and the epochs given up because no answer ever had them.
        """
        self._failures = 0
        self._not_before = -math.inf
        self._poll_at = now + self._interval()
        verdict = self._judge(epoch, now)
        if verdict is not Verdict.REFUSE and epoch is not None and epoch != self.held:
            self.held = epoch
            self._held_since = now
        self._count_told(epoch, now)
        return verdict, self._count_answer(epoch, now)

    def failed(self, now: float, retry_after: float | None = None) -> None:
        """The fetch failed. It is tried again after growing delays, then at the polling pace.

        :param retry_after: how long the server asked to be left alone, in seconds.
        """
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

    def _ask(self, epoch: float, now: float) -> None:
        if len(self._pending) >= _MOST_ASKED:
            # The one asked for longest: whatever is fetched for the others may have it as well.
            longest = next(iter(self._pending))
            del self._pending[longest]
            self._settle(longest)
        self._pending[epoch] = _Ask(due=now)

    def _judge(self, epoch: float | None, now: float) -> Verdict:
        if epoch is None or self.held is None or epoch >= self.held:
            self._older_taken_at = math.inf
            return Verdict.TAKE
        if now >= self._older_taken_at:
            self._older_taken_at = math.inf
            return Verdict.TAKE_OLDER
        self._older_taken_at = min(self._older_taken_at, now + OLDER_TAKEN_AFTER_SECONDS)
        if self.held not in self._pending and self.held not in self._given_up:
            # What answered is behind what is held, so it may be behind a change not yet seen.
            self._ask(self.held, self._started_at)
        return Verdict.REFUSE

    def _count_told(self, epoch: float | None, now: float) -> None:
        ask, moment = self._told, self._told_moment
        if ask is None:
            return
        if epoch is not None and moment is not None and epoch >= moment:
            self._told = None
        elif ask.due <= self._started_at:
            if ask.tries < len(TOLD_RETRY_SECONDS):
                ask.due = now + TOLD_RETRY_SECONDS[ask.tries] * (1.0 + 0.2 * self.random())
                ask.tries += 1
            else:
                self._told = None

    def _count_answer(self, epoch: float | None, now: float) -> tuple[float, ...]:
        given_up = []
        for asked, ask in list(self._pending.items()):
            if epoch is None or epoch >= asked:
                del self._pending[asked]
                if epoch is None:
                    # Answers without an epoch cannot tell: the same announcement is no news again.
                    self._settle(asked)
            elif ask.due <= self._started_at:
                if ask.tries < len(RETRY_SECONDS):
                    ask.due = now + retry_delay(ask.tries, self.random)
                    ask.tries += 1
                else:
                    del self._pending[asked]
                    self._settle(asked)
                    if asked != self.held:
                        given_up.append(asked)
        return tuple(given_up)

    def _settle(self, epoch: float) -> None:
        self._given_up[epoch] = None
        if len(self._given_up) > _MOST_SETTLED:
            del self._given_up[next(iter(self._given_up))]
