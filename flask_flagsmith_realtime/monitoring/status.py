"""How well an app is supplied with flags, as one value. Pure."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..config import Config
from ..model import Snapshot
from .activity import Activity

#: See :class:`Status`.
State: TypeAlias = Literal["starting", "live", "polling", "stale", "offline"]

#: After how many intervals without an answer flags are stale. One is too few: an interval may be
#: longer by a tenth, and a call takes its time.
STALE_AFTER_INTERVALS = 2


@dataclass(frozen=True, kw_only=True)
class Status:
    """How well an app is supplied with flags, in one process, at one moment.

    Holds no secret. ``dataclasses.asdict(status)`` can be written as JSON. Moments are in seconds
    since 1970.

    The states, of which the first that fits is given:

    - ``offline``: no network by intention: the flags of ``FLAGSMITH_OFFLINE_FILE`` serve for good;
      or the app is under test.
    - ``starting``: there are no flags of Flagsmith's yet; defaults serve. An engine that is not
      ``running`` is here until a flag is read.
    - ``stale``: the flags may be older than they should be. The newest call failed, here or in the
      process that leads the fleet; or no answer
      came for two intervals, of ``FLAGSMITH_LIVE_REFRESH_INTERVAL_SECONDS`` if it would be
      ``live``, else of ``FLAGSMITH_ENVIRONMENT_REFRESH_INTERVAL_SECONDS``; or the engine is not
      ``running`` any more.
    - ``live``: each change is announced: the stream is open, here or in the process that leads the
      fleet. What that one tells is known to the others within two beats, ten seconds.
    - ``polling``: no change is announced, and flags are fetched regularly.

    :param state: one of these.
    :param running: whether the engine's threads run in this process.
    :param epoch: when the environment changed last, as far as the flags held go; ``None`` if that
        is not known.
    :param age_seconds: how long ago those flags were fetched, be it that they were the same again;
        ``None`` without any.
    :param last_event: when the stream announced something last.
    :param last_error: what went wrong last, be it over by now.
    :param last_error_at: when that was.
    :param stream_connected_since: since when the stream is open; ``None`` if it is not.
    :param calls: how often this process has asked for the environment. A document that comes in
        pages counts once, and calls for single identities do not.
    :param reconnects: how often this process has opened the stream again.
    :param leader: whether this process listens and fetches for its fleet; ``None`` if it is in
        none: no Redis is configured, or it cannot be used and each process is alone, or it is not
        known yet.
    """

    state: State
    running: bool = False
    epoch: float | None = None
    age_seconds: float | None = None
    last_event: float | None = None
    last_error: str | None = None
    last_error_at: float | None = None
    stream_connected_since: float | None = None
    calls: int = 0
    reconnects: int = 0
    leader: bool | None = None


@dataclass(frozen=True)
class Now:
    """The moment that a status is of, by both clocks."""

    monotonic: float = field(default_factory=time.monotonic)
    epoch: float = field(default_factory=time.time)

    def in_epoch(self, moment: float | None) -> float | None:
        """A moment of the monotonic clock in seconds since 1970."""
        return None if moment is None else self.epoch - (self.monotonic - moment)

    def since(self, moment: float | None) -> float | None:
        """How many seconds ago a moment of the monotonic clock was."""
        return None if moment is None else self.monotonic - moment


def make_status(
    config: Config,
    snapshot: Snapshot | None,
    activity: Activity,
    now: Now,
    *,
    running: bool,
    offline: bool,
    leader: bool | None,
) -> Status:
    """Make out how well an app is supplied.

    :param snapshot: the flags held.
    :param activity: what the threads did last.
    :param running: whether they run.
    :param offline: whether there is no network by intention.
    """
    age = None if snapshot is None else _age(snapshot, activity, now)
    state: State
    if offline:
        state = "offline"
    elif age is None:
        state = "starting"
    elif not running or _are_stale(config, age, activity, now):
        state = "stale"
    else:
        state = "live" if activity.is_announced else "polling"
    trouble = activity.trouble
    return Status(
        state=state,
        running=running,
        epoch=None if snapshot is None else snapshot.epoch,
        age_seconds=age,
        last_event=now.in_epoch(activity.event_at),
        last_error=None if trouble is None else trouble.message,
        last_error_at=None if trouble is None else now.in_epoch(trouble.at),
        stream_connected_since=now.in_epoch(activity.connected_since),
        calls=activity.calls,
        reconnects=max(0, activity.connections - 1),
        leader=leader,
    )


def _age(snapshot: Snapshot, activity: Activity, now: Now) -> float:
    fetched_at = max(snapshot.fetched_at, activity.leader_fetched_at or -math.inf)
    return max(0.0, now.epoch - fetched_at)


def _are_stale(config: Config, age: float, activity: Activity, now: Now) -> bool:
    if activity.is_failing:
        return True
    # Flags that this process did not fetch, from a file or its parent, are as old as they say.
    unheard = now.since(activity.answered_at)
    unheard = age if unheard is None else unheard
    if activity.is_announced:
        interval = config.live_refresh_interval_seconds
        # Without an interval nothing but an event is expected.
        return interval > 0 and unheard > STALE_AFTER_INTERVALS * interval
    # Polling began when announcements ended; until then there was no reason to ask so often.
    polling = now.since(activity.disconnected_at)
    if polling is not None:
        unheard = min(unheard, polling)
    return unheard > STALE_AFTER_INTERVALS * config.environment_refresh_interval_seconds
