"""``flask flagsmith watch``: follows an app's flags in a terminal.

The app's signals arrive in the dispatcher's thread, which puts them into a queue. The main thread
prints them, so that a slow terminal delays no receiver.
"""

from __future__ import annotations

import dataclasses
import json
import math
import queue
import time
from datetime import datetime, timezone
from functools import partial
from typing import Any, NoReturn

import click
from blinker import NamedSignal

from .. import signals
from ..app_state import AppState
from ..engine import FlagsmithSource
from ..model import FlagChange
from . import wording

#: The service ends healthy connections often; only a longer outage is reported.
_OUTAGE_SECONDS = 2.0

#: On Windows, Ctrl-C takes effect only between two waits.
_LONGEST_WAIT_SECONDS = 0.5

_SIGNALS = (
    signals.stream_connected,
    signals.stream_disconnected,
    signals.refresh_failed,
    signals.snapshot_refreshed,
    signals.flags_changed,
)


def follow(state: AppState, as_json: bool) -> NoReturn:
    """Starts the app's engine, and prints changes and reports of its state until Ctrl-C.

    :param as_json: print each change as a JSON object.
    :raises ConfigError: if the app has no key.
    """
    config = state.config
    polling = f"flags are fetched every {config.environment_refresh_interval_seconds:g} s"
    if not config.enable_realtime_updates:
        _report(f"FLAGSMITH_ENABLE_REALTIME_UPDATES is off: {polling}.")
    if config.redis_url is not None:
        _report(
            "FLAGSMITH_REDIS_URL is set: this command opens its own stream and fetches each "
            "change itself, outside the fleet."
        )
    received: queue.SimpleQueue[tuple[NamedSignal, float, dict[str, Any]]] = queue.SimpleQueue()

    def receive(signal: NamedSignal, _app: object, **content: Any) -> None:
        received.put((signal, time.time(), content))

    for signal in _SIGNALS:
        signal.connect(partial(receive, signal), sender=state.app, weak=False)
    # Without a fleet: a command can be suspended at any time, which must not happen to a leader,
    # and a follower does not know the state of the stream.
    state.engine.start_by_hand(partial(FlagsmithSource, config))
    is_ready = False
    #: The state of the stream as it was reported last.
    is_open: bool | None = None
    reason = "not open yet"
    down_since = time.monotonic() if config.enable_realtime_updates else math.inf
    while True:
        try:
            signal, at, content = received.get(timeout=_LONGEST_WAIT_SECONDS)
        except queue.Empty:
            pass
        else:
            if signal is signals.stream_connected:
                down_since = math.inf
                if not is_open:
                    is_open = True
                    _report("The stream is open: changes arrive at once.")
            elif signal is signals.stream_disconnected:
                reason, down_since = content["reason"], min(down_since, time.monotonic())
            elif signal is signals.refresh_failed and not is_ready:
                reason = str(content["error"])
            elif signal is signals.snapshot_refreshed and not is_ready:
                is_ready = True
                _report(f"Watching {len(content['snapshot'].flags)} features. Ctrl-C ends it.")
            elif signal is signals.flags_changed and content["previous"] is not None:
                describe = _as_json if as_json else _as_text
                for _, change in sorted(content["changes"].items()):
                    click.echo(describe(change, at, content["snapshot"].epoch))
        if is_open is not False and time.monotonic() - down_since >= _OUTAGE_SECONDS:
            is_open = False
            _report(f"The stream is down ({reason}): {polling}.")


def _report(text: str) -> None:
    click.echo(text, err=True)


def _as_text(change: FlagChange, at: float, _epoch: float | None) -> str:
    moment = datetime.fromtimestamp(at).astimezone()
    return f"{moment:%H:%M:%S}  {wording.plain(change.feature_name)}  {wording.change(change)}"


def _as_json(change: FlagChange, at: float, epoch: float | None) -> str:
    moment = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")
    return json.dumps({"at": moment, "epoch": epoch, **dataclasses.asdict(change)})
