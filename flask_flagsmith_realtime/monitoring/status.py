"""The status: the state of an app's flags in one process, as one value. Pure."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from ..config import Config
from ..model import Snapshot
from .activity import Activity

#: See :class:`Status`.
State: TypeAlias = Literal["starting", "live", "polling", "stale", "offline"]

#: The number of intervals without an answer after which flags are stale. One is too few: an
#: interval may be longer by a tenth, and a call takes time.
STALE_AFTER_INTERVALS = 2


@dataclass(frozen=True, kw_only=True)
class Status:
    """The state of an app's flags in one process, at one moment.

    It holds no secret. ``dataclasses.asdict(status)`` can be written as JSON. Moments are in
    seconds since 1970.

    The state is the first of these that applies:

    - ``offline``: there is no network on purpose: the flags of ``FLAGSMITH_OFFLINE_FILE`` serve, or
      the app is under test.
    - ``starting``: there are no flags from Flagsmith yet; defaults serve. An engine that is not
      ``running`` stays in this state until a flag is read.
    - ``stale``: the flags may be out of date. The newest call failed, here or in the leader of the
      fleet; or the fleet's flags could not be read; or no answer came for two intervals, of
      ``FLAGSMITH_LIVE_REFRESH_INTERVAL_SECONDS`` while the stream is open, else of
      ``FLAGSMITH_ENVIRONMENT_REFRESH_INTERVAL_SECONDS``; or a change was announced more than five
      seconds ago and no answer has it; or the engine is not ``running`` any more.
    - ``live``: each change is announced: the stream is open, here or in the leader of the fleet.
      Followers know the leader's state within two heartbeats, ten seconds.
    - ``polling``: changes are not announced, and flags are fetched regularly.

    :param state: one of these.
    :param running: ``True`` while the engine's threads run in this process.
    :param epoch: the time of the last change that the flags held include; ``None`` if unknown.
    :param age_seconds: the time since those flags were fetched, or fetched again unchanged;
        ``None`` without flags.
    :param last_event: the time of the stream's last event.
    :param last_error: the last failure, also if it is over.
    :param last_error_at: its time.
    :param stream_connected_since: the time at which the stream opened; ``None`` if it is closed.
    :param calls: the number of calls of this process for the environment. A document in pages
        counts as one; calls for single identities do not count.
    :param reconnects: how often this process has opened the stream again.
    :param leader: ``True`` if this process listens and fetches for its fleet, ``False`` if it
        follows; ``None`` without a fleet: no Redis is configured, it cannot be used and each
        process is alone, or the role is not known yet.
    :param slow_receiver: the receiver of a signal that has run for more than 30 seconds. Other
        signals wait for it; flags do not.
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
    slow_receiver: str | None = None


class Now(msgspec.Struct, frozen=True):
    """The moment of a status, by both clocks."""

    monotonic: float = msgspec.field(default_factory=time.monotonic)
    epoch: float = msgspec.field(default_factory=time.time)

    def in_epoch(self, moment: float | None) -> float | None:
        """Converts a moment of the monotonic clock to seconds since 1970."""
        return None if moment is None else self.epoch - (self.monotonic - moment)

    def since(self, moment: float | None) -> float | None:
        """Returns the seconds since a moment of the monotonic clock."""
        return None if moment is None else self.monotonic - moment


def make_status(
    config: Config,
    snapshot: Snapshot | None,
    activity: Activity,
    now: Now,
    *,
    running: bool,
    offline: bool,
) -> Status:
    """Returns the status of an engine.

    :param snapshot: the snapshot held.
    :param running: ``True`` if the threads run.
    :param offline: ``True`` if there is no network on purpose.
    """
    age = None
    if snapshot is not None:
        fetched_at = max(snapshot.fetched_at, activity.leader_fetched_at or -math.inf)
        age = max(0.0, now.epoch - fetched_at)
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
        leader=activity.leader,
        slow_receiver=activity.slow_receiver,
    )


def _are_stale(config: Config, age: float, activity: Activity, now: Now) -> bool:
    if activity.is_failing or activity.is_unserved(now.monotonic):
        return True
    # Flags from a file or from the parent process are as old as they say.
    unheard = now.since(activity.answered_at)
    unheard = age if unheard is None else unheard
    if activity.is_announced:
        interval = config.live_refresh_interval_seconds
        # Without an interval nothing but an event is expected.
        return interval > 0 and unheard > STALE_AFTER_INTERVALS * interval
    # Polling began when announcements ended; until then there was no reason to fetch so often.
    polling = now.since(activity.disconnected_at)
    if polling is not None:
        unheard = min(unheard, polling)
    return unheard > STALE_AFTER_INTERVALS * config.environment_refresh_interval_seconds
