"""Leader election: the role of a process, and what it does with shared flags that differ from its
own. Pure: no clock, no thread, no network.

Redis decides which process leads: it runs the script :data:`BEAT` at each *heartbeat* of a process.
From the answers and failures, in any order, an :class:`Election` derives:

- After a heartbeat that succeeded, the role is the one that Redis decided.
- If the first heartbeat fails, the process is alone at once, so that a start does not wait.
- If a later one fails, the process keeps its role for a while: a cut connection or a restart of
  Redis is no reason to fetch. Then it is alone. That time is random, from a fifth to the whole of
  :attr:`FleetTimings.patience_seconds`, so that hundreds of processes do not ask Flagsmith in the
  same moment.
- The tries to join again follow a full-jitter exponential backoff.
- A leader that cannot store flags, and a follower that cannot read them, is alone for
  :attr:`FleetTimings.unfit_seconds`, and another process can lead.

:func:`compare` never goes back to an older epoch, except to one by which a leader has replaced the
newer one on purpose.
"""

from __future__ import annotations

import enum
import math
import random
from dataclasses import dataclass, field

from ..client import Random, jitter

_FIRST_RETRY_SECONDS = 0.5
#: A lock is asked for this much after it expires, at most, whatever the beat.
_AFTER_EXPIRY_SECONDS = 0.5

#: The heartbeat: the process whose token is in the lock leads, and a free lock is taken. The lock
#: is written in any case, so that every process notices a Redis that is full or read-only. A lock
#: without an expiry, or with one that is too long, gets the right one. Keys of a wrong type are
#: removed. The leader writes its report, by pcall: if that fails, the process still has to learn
#: that it has the lock. ``KEYS[1]`` is the hash with the flags, ``KEYS[2]`` the lock, ``ARGV[1]``
#: the token of the process.
BEAT = """
local replaced = ''
for number, kind in ipairs({'hash', 'string'}) do
    local found = redis.call('TYPE', KEYS[number]).ok
    if found ~= kind and found ~= 'none' then
        redis.call('DEL', KEYS[number])
        replaced = KEYS[number]
    end
end
local holder = redis.call('GET', KEYS[2]) or ARGV[1]
local left = redis.call('PTTL', KEYS[2])
if holder == ARGV[1] or left < 0 or left > tonumber(ARGV[2]) then
    redis.call('SET', KEYS[2], holder, 'PX', ARGV[2])
else
    redis.call('SET', KEYS[2], holder, 'KEEPTTL')
end
if holder == ARGV[1] then
    redis.pcall('HSET', KEYS[1], 'report', ARGV[3])
    redis.pcall('EXPIRE', KEYS[1], ARGV[4])
end
local marks = redis.call('HMGET', KEYS[1], 'version', 'note', 'fetched_at', 'report')
return {holder == ARGV[1] and 1 or 0, redis.call('PTTL', KEYS[2]), replaced, unpack(marks, 1, 4)}
"""


class Role(enum.Enum):
    """The role of a process in its fleet."""

    #: Redis cannot be used: the process listens and fetches for itself.
    ALONE = "alone"
    #: The process listens and fetches for all.
    LEADER = "leader"
    #: The process reads the shared flags.
    FOLLOWER = "follower"


@dataclass(frozen=True)
class FleetTimings:
    """The times of a fleet, in seconds. All processes of a fleet have the same."""

    #: The wait of a starting process for its first role, before it fetches for itself. ±10 %.
    first_role_seconds: float = 2.0
    #: The time between two heartbeats. ±10 %.
    beat_seconds: float = 5.0
    #: The TTL of the leader's lock.
    expiry_seconds: float = 15.0
    #: The longest wait for a Redis that cannot be used, before a process is alone.
    patience_seconds: float = 10.0
    #: The longest delay between two tries to join again.
    longest_retry_seconds: float = 15.0
    #: How long a process that can send heartbeats, but not store or read flags, is alone. ±10 %.
    unfit_seconds: float = 300.0


@dataclass
class Election:
    """The role of one process. Its methods return the delay before the next heartbeat, in seconds.

    :param random: returns numbers between 0 and 1, for the jitter.
    """

    timings: FleetTimings
    random: Random = random.random

    #: ``None`` until the first try.
    role: Role | None = field(default=None, init=False)
    _failures: int = field(default=0, init=False)
    _alone_at: float = field(default=math.inf, init=False)

    def answered(self, leads: bool, lock_seconds: float) -> float:
        """Notes a heartbeat that succeeded.

        :param leads: ``True`` if this process leads now.
        :param lock_seconds: the time to live of the leader's lock, in seconds.
        """
        self.role = Role.LEADER if leads else Role.FOLLOWER
        self._failures = 0
        self._alone_at = math.inf
        beat = jitter(self.timings.beat_seconds, self.random)
        if leads:
            return beat
        # A leader that has died is replaced as soon as its lock is free.
        after_expiry = self.random() * min(_AFTER_EXPIRY_SECONDS, self.timings.beat_seconds)
        return min(beat, max(lock_seconds, 0.0) + after_expiry)

    def failed(self, now: float) -> float:
        """Notes that Redis could not be used."""
        if self._failures == 0:
            self._alone_at = now + self.timings.patience_seconds * (0.2 + 0.8 * self.random())
        if self.role is None or now >= self._alone_at:
            self.role = Role.ALONE
        # The exponent is bounded: it goes on counting while Redis is gone for days.
        ceiling = _FIRST_RETRY_SECONDS * 2.0 ** min(self._failures, 10)
        self._failures += 1
        delay = self.random() * min(ceiling, self.timings.longest_retry_seconds)
        return delay if self.role is Role.ALONE else min(delay, self._alone_at - now)

    def gave_up(self) -> float:
        """Notes that heartbeats succeed, but this process cannot store or read flags."""
        self.role = Role.ALONE
        return jitter(self.timings.unfit_seconds, self.random)


class Step(enum.Enum):
    """The result of a comparison of the held flags with the shared ones."""

    #: Publish the shared ones.
    TAKE = "take"
    #: Store the held ones.
    STORE = "store"
    #: They are the same.
    KEEP = "keep"


def compare(
    held: float | None, found: float | None, *, same: bool, leads: bool, replaced: float | None
) -> Step:
    """Compares the flags that a process holds with the shared ones.

    :param held: the epoch of the held flags.
    :param found: the epoch of the shared flags.
    :param same: ``True`` if their contents are the same.
    :param leads: ``True`` for the leader. Of two contents of one epoch, the leader's counts.
    :param replaced: the newer epoch that the shared flags replace on purpose.
    """
    if held is not None and found is not None and held != found:
        if found > held:
            return Step.TAKE
        return Step.TAKE if replaced is not None and held <= replaced else Step.STORE
    if same:
        return Step.KEEP
    return Step.STORE if leads else Step.TAKE
