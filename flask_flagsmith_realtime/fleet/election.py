"""Who fetches in a fleet: which role follows from what Redis answered, and what to do with what
lies there. Pure: no clock, no thread, no network.

A process asks Redis at each *beat* whether it leads. What it promises, for any order of answers and
failures:

- A process whose beat succeeded has the role that Redis named. The first try decides in any case:
  a start waits for nobody.
- A process that cannot use Redis keeps its role for a while, for a connection that was cut or a
  restart is no reason to fetch. Then it goes on alone. When, differs from process to process, so
  that hundreds do not ask Flagsmith in the same moment: from a fifth to the whole of
  :attr:`FleetTimings.patience_seconds`.
- The tries to join again follow a full-jitter exponential delay.
- A leader that cannot store flags leaves the lead to another, and goes on alone for long.
- Whatever lies in Redis, a process never goes back to an older epoch, but to one that a leader has
  put in place of the newer one on purpose.
"""

from __future__ import annotations

import enum
import math
import random
from dataclasses import dataclass, field

from ..client import Random, jitter

#: How long a process that starts waits for its first role at least, and half as long again at most.
#: Then it goes on alone until it has one. A Redis that does not answer is given up sooner, see
#: :class:`.RedisStore`; this is for one that is slow in another way. On a busy machine many that
#: start at once have their roles in less.
_FIRST_ROLE_SECONDS = 1.5

_FIRST_RETRY_SECONDS = 0.5
#: A lock is asked for this much after it expires, at most, whatever the beat.
_AFTER_EXPIRY_SECONDS = 0.5


def first_role_seconds(random: Random = random.random) -> float:
    """How long a process that starts waits for its first role, so that not all stop at once."""
    return _FIRST_ROLE_SECONDS * (1.0 + 0.5 * random())


class Role(enum.Enum):
    """What a process is to the others."""

    #: There are no others, or Redis cannot be used: it listens and fetches for itself.
    ALONE = "alone"
    #: It listens and fetches for all.
    LEADER = "leader"
    #: It takes what lies in Redis.
    FOLLOWER = "follower"

    @property
    def fetches(self) -> bool:
        """Whether a process of this role listens and fetches."""
        return self is not Role.FOLLOWER


@dataclass(frozen=True)
class FleetTimings:
    """The times of a fleet, in seconds. All processes of a fleet have the same.

    :param beat_seconds: how often each process asks who leads. ±10 %.
    :param expiry_seconds: how long a leader that is not heard of leads.
    :param patience_seconds: how long a process waits for a Redis that cannot be used, at most,
        before it goes on alone.
    :param longest_retry_seconds: how long it waits between two tries to join again, at most.
    :param unfit_seconds: how long a leader that cannot store flags stays away. ±10 %.
    """

    beat_seconds: float = 5.0
    expiry_seconds: float = 15.0
    patience_seconds: float = 10.0
    longest_retry_seconds: float = 15.0
    unfit_seconds: float = 300.0


@dataclass
class Election:
    """The role of one process.

    :param pace: the times.
    :param random: a source of numbers between 0 and 1, for the jitter.
    """

    pace: FleetTimings
    random: Random = random.random

    #: ``None`` until the first try.
    role: Role | None = field(default=None, init=False)
    _failures: int = field(default=0, init=False)
    _alone_at: float = field(default=math.inf, init=False)

    def answered(self, leads: bool, lock_seconds: float) -> float:
        """A beat succeeded.

        :param leads: whether this process leads now.
        :param lock_seconds: when the leader's lock expires, if it is not renewed.
        :returns: in how many seconds the next beat is due.
        """
        self.role = Role.LEADER if leads else Role.FOLLOWER
        self._failures = 0
        self._alone_at = math.inf
        beat = jitter(self.pace.beat_seconds, self.random)
        if leads:
            return beat
        # A leader that has died is followed as soon as its lock is free.
        after_expiry = self.random() * min(_AFTER_EXPIRY_SECONDS, self.pace.beat_seconds)
        return min(beat, max(lock_seconds, 0.0) + after_expiry)

    def failed(self, now: float) -> float:
        """Redis could not be used.

        :returns: in how many seconds the next try is due.
        """
        if self._failures == 0:
            self._alone_at = now + self.pace.patience_seconds * (0.2 + 0.8 * self.random())
        if self.role is None or now >= self._alone_at:
            self.role = Role.ALONE
        # The exponent is bounded: it goes on counting while Redis is gone for days.
        ceiling = _FIRST_RETRY_SECONDS * 2.0 ** min(self._failures, 10)
        self._failures += 1
        delay = self.random() * min(ceiling, self.pace.longest_retry_seconds)
        return delay if self.role is Role.ALONE else min(delay, self._alone_at - now)

    def gave_up(self) -> float:
        """Beats succeed, but this process cannot store flags.

        :returns: in how many seconds the next try is due.
        """
        self.role = Role.ALONE
        return jitter(self.pace.unfit_seconds, self.random)


class Step(enum.Enum):
    """What to do with what lies in Redis."""

    #: Serve it from now on.
    TAKE = "take"
    #: Put what is held in its place.
    STORE = "store"
    #: Nothing: it is what is held.
    KEEP = "keep"


def judge(
    held: float | None, found: float | None, *, same: bool, leads: bool, replaced: float | None
) -> Step:
    """Compare what a process holds with what lies in Redis, where both are there.

    :param held: the epoch of what the process holds.
    :param found: the epoch of what lies in Redis.
    :param same: whether their contents are the same.
    :param leads: whether the process leads. Of two contents of one epoch the leader's counts.
    :param replaced: the newer epoch that was replaced by what lies in Redis, on purpose.
    """
    if held is not None and found is not None and held != found:
        if found > held:
            return Step.TAKE
        return Step.TAKE if replaced is not None and held <= replaced else Step.STORE
    if same:
        return Step.KEEP
    return Step.STORE if leads else Step.TAKE
