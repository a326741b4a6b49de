"""Flags and their changes in the errors that Sentry receives.

Nothing is sent to Sentry while flags are read or change: when an event is captured, an event
processor adds the flags that the current app context has read, and the latest changes as
breadcrumbs. Names and states only, never values: they may be secret.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from flask import Flask

from ..app_state import state_of
from ..current import context_app, flags, was_read
from ..model import Flag, FlagChange
from ..signals import flag_evaluated, flags_changed
from ._extras import missing_package

try:
    from sentry_sdk.scope import add_global_event_processor
except ImportError as error:
    raise missing_package("sentry", "sentry-sdk >= 2.20", error) from None

__all__ = ["init_app"]

_EXTENSION = "flagsmith_realtime_sentry"
#: As many as Sentry's own integrations send.
_MOST_FLAGS = 100
_MOST_CHANGES = 20


def init_app(app: Flask) -> None:
    """Adds an app's flags to the errors that happen in it.

    It may be called before or after ``sentry_sdk.init``.

    :param app: an app that the extension has set up.
    :raises NotInitializedError: if the app was not set up.
    """
    state_of(app)
    if _EXTENSION in app.extensions:
        return
    app.extensions[_EXTENSION] = changes = _Changes()
    flags_changed.connect(changes.remember, sender=app)
    # A receiver makes contexts record what they read.
    flag_evaluated.connect(_record, sender=app)
    if not _is_installed:
        _is_installed.append(True)
        add_global_event_processor(_process)


#: The event processor is added once in a process, for all apps.
_is_installed: list[bool] = []


class _Changes:
    """The latest changes of an app's flags, as breadcrumbs."""

    def __init__(self) -> None:
        self.breadcrumbs: deque[dict[str, Any]] = deque(maxlen=_MOST_CHANGES)

    def remember(self, app: Flask, changes: Mapping[str, FlagChange], **_: object) -> None:
        """Keeps a change: a receiver of ``flags_changed``."""
        self.breadcrumbs.append(
            {
                "type": "info",
                "category": "flagsmith",
                "level": "info",
                "message": f"Flags changed: {', '.join(sorted(changes))}",
                "data": {name: _describe(changes[name]) for name in sorted(changes)[:_MOST_FLAGS]},
                "timestamp": datetime.fromtimestamp(time.time(), timezone.utc),
            }
        )


def _record(app: Flask, flag: Flag, **_: object) -> None:
    """Does nothing: see :func:`init_app`."""


def _process(event: Any, hint: Any) -> Any:
    """Adds flags and changes to an event of Sentry's."""
    app = context_app()
    changes = None if app is None else app.extensions.get(_EXTENSION)
    if app is None or changes is None or event.get("type") == "transaction":
        return event
    # A context without reads must not take its flags now: that may wait for Flagsmith.
    read = {flag.feature_name: flag.enabled for flag in flags.read} if was_read(app) else {}
    if read:
        values = event.setdefault("contexts", {}).setdefault("flags", {}).setdefault("values", [])
        latest = list(read.items())[-_MOST_FLAGS:]
        values[:] = [value for value in values if value["flag"] not in read]
        values += [{"flag": name, "result": enabled} for name, enabled in latest]
    if changes.breadcrumbs:
        breadcrumbs = event.setdefault("breadcrumbs", {}).setdefault("values", [])
        breadcrumbs += [dict(breadcrumb) for breadcrumb in changes.breadcrumbs]
        breadcrumbs.sort(key=_moment)
    return event


def _moment(breadcrumb: Mapping[str, Any]) -> float:
    moment = breadcrumb.get("timestamp")
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    return moment if isinstance(moment, float) else 0.0


def _describe(change: FlagChange) -> str:
    states = [
        "missing" if flag is None else "on" if flag.enabled else "off"
        for flag in (change.before, change.after)
    ]
    if states[0] != states[1]:
        return " → ".join(states)
    return "targeting changed" if change.targeting_changed else "value changed"
