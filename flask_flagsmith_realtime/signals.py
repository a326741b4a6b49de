"""The signals, and how they are sent.

The sender is always the app, so ``connect_via(app)`` subscribes to one app. Receivers run in the
dispatcher's thread, in an app context of their own. A receiver that raises is logged with its name
and stops no other; a slow one delays the signals that follow, but no flag.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from blinker import NamedSignal, Namespace
from flask import Flask, current_app, has_request_context

from . import logs
from .logs import BackgroundLogger
from .model import FlagChange

logger = BackgroundLogger(logging.getLogger(__name__))

_signals = Namespace()

#: Flags have changed. Sent with ``changes``, a mapping of feature names to
#: :class:`~flask_flagsmith_realtime.FlagChange`; ``snapshot``, the new
#: :class:`~flask_flagsmith_realtime.Snapshot`; ``previous``, the one before; and ``leader``,
#: ``True`` if this process has fetched the new one: one process of a fleet that shares flags
#: through Redis, each process without a fleet. The first snapshot of a process is no change, unless
#: defaults were served before it: then ``previous`` is ``None`` and ``changes`` holds every
#: feature. Changes that wait behind a slow receiver are merged into one.
flags_changed: NamedSignal = _signals.signal("flagsmith-flags-changed")

#: Flagsmith has answered, with a change or without. Sent with ``snapshot``.
snapshot_refreshed: NamedSignal = _signals.signal("flagsmith-snapshot-refreshed")

#: The stream is open. Also sent each time the service has recycled the connection.
stream_connected: NamedSignal = _signals.signal("flagsmith-stream-connected")

#: The stream has ended. Sent with ``reason``, a text. Also sent when the service recycles the
#: connection.
stream_disconnected: NamedSignal = _signals.signal("flagsmith-stream-disconnected")

#: Flags could not be fetched; the last good ones go on serving. Sent with ``error``, a
#: :class:`~flask_flagsmith_realtime.FetchError`. In remote evaluation also sent when an identity's
#: flags could not be fetched: then receivers run in the request that reads them.
refresh_failed: NamedSignal = _signals.signal("flagsmith-refresh-failed")


def send(signal: NamedSignal, app: Flask, **content: Any) -> None:
    """Sends a signal: each receiver is called, also if others raise."""
    if not signal.receivers:
        return
    try:
        with _context_of(app):
            for receiver in list(signal.receivers_for(app)):
                call(app, receiver, f"a receiver of {signal.name}", app, **content)
    except BaseException as error:
        # A receiver cannot get here, but an app context's own handlers can.
        if _ends_a_request(error):
            raise
        logger.exception(
            "Sending %s failed.",
            signal.name,
            extra=logs.fields("signal_failed", signal=signal.name),
        )


def _context_of(app: Flask) -> AbstractContextManager[object]:
    """Returns the current context if it is the app's: the end of another one would tear down what
    the app ties to a context, such as a database session, in mid-request."""
    return nullcontext() if current_app == app else app.app_context()


def call(app: Flask, function: Callable[..., Any], what: str, *args: Any, **kwargs: Any) -> None:
    """Calls a function of the app's, plain or async. If it raises, its name is logged.

    :param what: describes the function in the log line.
    """
    try:
        app.ensure_sync(function)(*args, **kwargs)
    except BaseException as error:
        if _ends_a_request(error):
            raise
        name = name_of(function)
        logger.exception(
            "%s, %s, failed.", name, what, extra=logs.fields("receiver_failed", function=name)
        )


def _ends_a_request(error: BaseException) -> bool:
    """Returns ``True`` if an exception is meant for more than the function that raises it: a server
    ends a request by such an exception. The dispatcher's thread survives it."""
    return has_request_context() and not isinstance(error, Exception)


def name_of(function: Any) -> str:
    """Returns a function's name with its module, for a log line."""
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"{getattr(function, '__module__', '?')}.{name}"


class OnChange:
    """The functions to call when single features change."""

    def __init__(self) -> None:
        self._functions: list[tuple[frozenset[str], Callable[[FlagChange], Any]]] = []

    def register(
        self, feature_names: Collection[str], function: Callable[[FlagChange], Any]
    ) -> None:
        """Adds a function for the changes of some features."""
        self._functions.append((frozenset(feature_names), function))

    def call(self, app: Flask, changes: Mapping[str, FlagChange], **_: Any) -> None:
        """Calls the functions: a receiver of ``flags_changed``."""
        for names, function in self._functions:
            for name in sorted(names & changes.keys()):
                call(app, function, f"called on a change of {name}", changes[name])
