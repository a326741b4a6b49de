"""Following an app's flags in a terminal: what ``flask flagsmith watch`` prints, in order.

The app's signals arrive in the refresher's thread and are handed to the thread that prints through
a queue, so that a slow terminal holds nothing up.
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

from .. import signals
from ..app_state import AppState
from ..engine import FlagsmithSource
from ..exceptions import FetchError
from ..model import Flag, FlagChange, Snapshot
from . import wording
from .terminal import plain

#: The service ends healthy connections all the time; only what lasts longer than this is news.
_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class StreamNews:
    """Something about the stream.

    :param message: it, in words.
    """

    message: str


@dataclass(frozen=True)
class ChangeNews:
    """One feature changed.

    :param at: when that arrived here, in seconds since 1970.
    :param change: how.
    :param epoch: when it changed on Flagsmith, in seconds since 1970, if that is known.
    """

    at: float
    change: FlagChange
    epoch: float | None

    def as_text(self) -> str:
        """The change for a person to read."""
        moment = datetime.fromtimestamp(self.at).astimezone()
        name = plain(self.change.feature_name)
        return f"{moment:%H:%M:%S}  {name}  {wording.change(self.change)}"

    def as_dict(self) -> dict[str, Any]:
        """The change for a program to read."""
        return {
            "at": datetime.fromtimestamp(self.at, timezone.utc).isoformat(timespec="milliseconds"),
            "epoch": self.epoch,
            "feature_name": self.change.feature_name,
            "before": _flag_as_dict(self.change.before),
            "after": _flag_as_dict(self.change.after),
            "targeting_changed": self.change.targeting_changed,
        }


class StreamStateDebouncer:
    """Tells news of the stream's life from its daily routine. Pure: the caller has the clock.

    :param now: the monotonic time.
    :param otherwise: what happens while the stream is down, in words.
    """

    def __init__(self, now: float, otherwise: str) -> None:
        self._otherwise = otherwise
        self._reason = "not open yet"
        self._down_since: float | None = now
        self._told: bool | None = None

    def wait(self, now: float) -> float | None:
        """How long until :meth:`due` has something to say, if nothing else happens."""
        if self._down_since is None or self._told is False:
            return None
        return max(0.0, self._down_since + _PATIENCE_SECONDS - now)

    def connected(self) -> StreamNews | None:
        """It is open."""
        self._down_since = None
        if self._told:
            return None
        self._told = True
        return StreamNews("The stream is open: changes arrive at once.")

    def disconnected(self, reason: str, now: float) -> None:
        """It has ended."""
        self._reason = reason
        if self._down_since is None:
            self._down_since = now

    def due(self, now: float) -> StreamNews | None:
        """Say that it is down, if it has been for long enough."""
        if self.wait(now) != 0.0:
            return None
        self._told = False
        return StreamNews(f"The stream is down ({self._reason}): {self._otherwise}.")


def follow(state: AppState) -> Iterator[StreamNews | ChangeNews]:
    """Start the app's engine and hand on what happens, for ever.

    :raises ConfigError: if the app has no key.
    """
    happened: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()

    # A signal does not keep its receivers alive: these names do.
    def connected(_app: object, **_: Any) -> None:
        happened.put(("connected", {}))

    def disconnected(_app: object, reason: str, **_: Any) -> None:
        happened.put(("disconnected", {"reason": reason}))

    def failed(_app: object, error: FetchError, **_: Any) -> None:
        happened.put(("failed", {"error": error}))

    def refreshed(_app: object, snapshot: Snapshot, **_: Any) -> None:
        happened.put(("refreshed", {"snapshot": snapshot}))

    def changed(_app: object, **content: Any) -> None:
        happened.put(("changed", {"at": time.time(), **content}))

    signals.stream_connected.connect(connected, sender=state.app)
    signals.stream_disconnected.connect(disconnected, sender=state.app)
    signals.refresh_failed.connect(failed, sender=state.app)
    signals.snapshot_refreshed.connect(refreshed, sender=state.app)
    signals.flags_changed.connect(changed, sender=state.app)

    config = state.config
    polling = f"flags are fetched every {config.environment_refresh_interval_seconds:g} s"
    life = StreamStateDebouncer(time.monotonic(), polling)
    if not config.enable_realtime_updates:
        yield StreamNews(f"FLAGSMITH_ENABLE_REALTIME_UPDATES is off: {polling}.")
    if config.redis_url is not None:
        yield StreamNews(
            "FLAGSMITH_REDIS_URL is set: watching listens to the stream and fetches for itself, "
            "outside the fleet."
        )
    # Without a fleet: a person may pause or end a command at any time, which a leader must not be,
    # and a follower could not report how the stream is.
    state.engine.start_by_hand(partial(FlagsmithSource, config))
    count: int | None = None
    while True:
        wait = life.wait(time.monotonic()) if config.enable_realtime_updates else None
        try:
            what, content = happened.get(timeout=wait)
        except queue.Empty:
            news = life.due(time.monotonic())
            if news is not None:
                yield news
            continue
        if what == "connected":
            news = life.connected()
            if news is not None:
                yield news
        elif what == "disconnected":
            life.disconnected(content["reason"], time.monotonic())
        elif what == "failed" and count is None:
            life.disconnected(str(content["error"]), time.monotonic())
        elif what == "refreshed" and count is None:
            count = len(content["snapshot"].flags)
            yield StreamNews(f"Watching {count} features. Ctrl-C ends it.")
        elif what == "changed" and content["previous"] is not None:
            epoch = content["snapshot"].epoch
            for _, change in sorted(content["changes"].items()):
                yield ChangeNews(content["at"], change, epoch)


def _flag_as_dict(flag: Flag | None) -> dict[str, Any] | None:
    return None if flag is None else dataclasses.asdict(flag)
