"""``flask flagsmith watch``: follows an app's flags in a terminal.

The app's signals arrive in the dispatcher's thread, which puts them into a queue. The main thread
prints them, so that a slow terminal delays no receiver.
"""

from __future__ import annotations

import dataclasses
import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any

from blinker import NamedSignal

from .. import signals
from ..app_state import AppState
from ..engine import FlagsmithSource
from ..model import Flag, FlagChange
from . import wording
from .terminal import plain

#: The service ends healthy connections often; only a longer outage is reported.
_OUTAGE_SECONDS = 2.0

_LONGEST_WAIT_SECONDS = 1.0

_SIGNALS = (
    signals.stream_connected,
    signals.stream_disconnected,
    signals.refresh_failed,
    signals.snapshot_refreshed,
    signals.flags_changed,
)


@dataclass(frozen=True)
class WatchedChange:
    """The change of one feature.

    :param at: the time of its arrival, in seconds since 1970.
    :param change: the change.
    :param epoch: the environment's epoch after the change, in seconds since 1970, if it is known.
    """

    at: float
    change: FlagChange
    epoch: float | None

    def as_text(self) -> str:
        """Describes the change on one line."""
        moment = datetime.fromtimestamp(self.at).astimezone()
        name = plain(self.change.feature_name)
        return f"{moment:%H:%M:%S}  {name}  {wording.change(self.change)}"

    def as_dict(self) -> dict[str, Any]:
        """Returns the change for JSON."""
        return {
            "at": datetime.fromtimestamp(self.at, timezone.utc).isoformat(timespec="milliseconds"),
            "epoch": self.epoch,
            "feature_name": self.change.feature_name,
            "before": _flag_as_dict(self.change.before),
            "after": _flag_as_dict(self.change.after),
            "targeting_changed": self.change.targeting_changed,
        }


class StreamStateDebouncer:
    """Reports the stream's state, without the short gaps between healthy connections.

    Pure: the caller has the clock.

    :param now: the monotonic time.
    :param fallback: a description of the polling meanwhile.
    """

    def __init__(self, now: float, fallback: str) -> None:
        self._fallback = fallback
        self._reason = "not open yet"
        self._down_since: float | None = now
        self._reported: bool | None = None

    def wait(self, now: float) -> float | None:
        """Returns the seconds until :meth:`due` has a report; ``None`` if it has none to come."""
        if self._down_since is None or self._reported is False:
            return None
        return max(0.0, self._down_since + _OUTAGE_SECONDS - now)

    def connected(self) -> str | None:
        """Notes that the stream is open; returns the report, if that is new."""
        self._down_since = None
        if self._reported:
            return None
        self._reported = True
        return "The stream is open: changes arrive at once."

    def disconnected(self, reason: str, now: float) -> None:
        """Notes that the stream has ended."""
        self._reason = reason
        if self._down_since is None:
            self._down_since = now

    def due(self, now: float) -> str | None:
        """Returns the report of an outage, once it has lasted long enough."""
        if self.wait(now) != 0.0:
            return None
        self._reported = False
        return f"The stream is down ({self._reason}): {self._fallback}."


def follow(state: AppState) -> Iterator[str | WatchedChange]:
    """Starts the app's engine, and yields changes and reports of its state, forever.

    :raises ConfigError: if the app has no key.
    """
    config = state.config
    polling = f"flags are fetched every {config.environment_refresh_interval_seconds:g} s"
    stream = StreamStateDebouncer(time.monotonic(), polling)
    if not config.enable_realtime_updates:
        yield f"FLAGSMITH_ENABLE_REALTIME_UPDATES is off: {polling}."
    if config.redis_url is not None:
        yield (
            "FLAGSMITH_REDIS_URL is set: this command opens its own stream and fetches each "
            "change itself, outside the fleet."
        )
    received: queue.SimpleQueue[tuple[NamedSignal, float, dict[str, Any]]] = queue.SimpleQueue()

    def receive(_app: object, *, signal: NamedSignal, **content: Any) -> None:
        received.put((signal, time.time(), content))

    # Signals hold their receivers weakly; this list keeps them alive.
    receivers = [partial(receive, signal=signal) for signal in _SIGNALS]
    for signal, receiver in zip(_SIGNALS, receivers, strict=True):
        signal.connect(receiver, sender=state.app)
    # Without a fleet: a command can be suspended at any time, which must not happen to a leader,
    # and a follower does not know the state of the stream.
    state.engine.start_by_hand(partial(FlagsmithSource, config))
    is_ready = False
    while True:
        wait = stream.wait(time.monotonic()) if config.enable_realtime_updates else None
        report = None
        try:
            # On Windows, Ctrl-C takes effect only between two waits.
            timeout = _LONGEST_WAIT_SECONDS if wait is None else min(wait, _LONGEST_WAIT_SECONDS)
            signal, at, content = received.get(timeout=timeout)
        except queue.Empty:
            report = None if wait is None else stream.due(time.monotonic())
        else:
            if signal is signals.stream_connected:
                report = stream.connected()
            elif signal is signals.stream_disconnected:
                stream.disconnected(content["reason"], time.monotonic())
            elif signal is signals.refresh_failed and not is_ready:
                stream.disconnected(str(content["error"]), time.monotonic())
            elif signal is signals.snapshot_refreshed and not is_ready:
                is_ready = True
                report = f"Watching {len(content['snapshot'].flags)} features. Ctrl-C ends it."
            elif signal is signals.flags_changed and content["previous"] is not None:
                for _, change in sorted(content["changes"].items()):
                    yield WatchedChange(at, change, content["snapshot"].epoch)
        if report is not None:
            yield report


def _flag_as_dict(flag: Flag | None) -> dict[str, Any] | None:
    return None if flag is None else dataclasses.asdict(flag)
