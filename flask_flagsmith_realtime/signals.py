"""The signals, and how they are sent.

The sender is always the app, so ``connect_via(app)`` subscribes to one app. Receivers run in the
refresher's thread, in an app context that is there for them: what takes long belongs elsewhere. A
receiver that raises is logged with its name and stops no other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from blinker import NamedSignal, Namespace
from flask import Flask, current_app, has_request_context

from . import logs
from .model import FlagChange

logger = logging.getLogger(__name__)

_signals = Namespace()

#: Flags are not what they were. Sent with ``changes``, a mapping of feature names to
#: :class:`~flask_flagsmith_realtime.FlagChange`, ``snapshot``, the new
#: :class:`~flask_flagsmith_realtime.Snapshot`, ``previous``, the one before, and
#: ``leader``, whether this process has fetched it: of a fleet that shares flags through Redis, that
#: is one process; without a fleet it is each. The first snapshot of a process is no change, unless
#: defaults were served before it: then ``previous`` is ``None`` and every feature is in
#: ``changes``.
flags_changed: NamedSignal = _signals.signal("flagsmith-flags-changed")

#: Flagsmith has answered, whether or not something changed. Sent with ``snapshot``.
snapshot_refreshed: NamedSignal = _signals.signal("flagsmith-snapshot-refreshed")

#: The stream is open. Also sent each time the service has recycled the connection.
stream_connected: NamedSignal = _signals.signal("flagsmith-stream-connected")

#: The stream has ended. Sent with ``reason``, a text. Also sent when the service recycles it.
stream_disconnected: NamedSignal = _signals.signal("flagsmith-stream-disconnected")

#: Flags could not be fetched; the last good ones go on serving. Sent with ``error``, a
#: :class:`~flask_flagsmith_realtime.FetchError`. In remote evaluation also if an identity's flags
#: could not be fetched: then receivers run in the request that asked for them.
refresh_failed: NamedSignal = _signals.signal("flagsmith-refresh-failed")


def send(signal: NamedSignal, app: Flask, **content: Any) -> None:
    """Send a signal so that each receiver is called, whatever the others do."""
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
    """The current context if it is the app's: at the end of one more, what the app tears down with
    a context, such as a request's database session, would be torn down in mid-request."""
    return nullcontext() if current_app == app else app.app_context()


def call(app: Flask, function: Callable[..., Any], what: str, *args: Any, **kwargs: Any) -> None:
    """Call a function of the app's, plain or async. If it raises, that is logged with its name.

    :param what: what the function is, in words.
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
    """Whether an exception is for more than the function that it is raised in: a server ends a
    request by such a one. In the refresher's thread none is: without that, flags would freeze."""
    return has_request_context() and not isinstance(error, Exception)


def name_of(function: Any) -> str:
    """A function's name with its module, for a log line."""
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"{getattr(function, '__module__', '?')}.{name}"


class OnChange:
    """The functions that are called on a change of single features."""

    def __init__(self) -> None:
        self._functions: list[tuple[frozenset[str], Callable[[FlagChange], Any]]] = []

    def register(
        self, feature_names: Collection[str], function: Callable[[FlagChange], Any]
    ) -> None:
        """Have a function called when one of these features changes."""
        self._functions.append((frozenset(feature_names), function))

    def tell(self, app: Flask, changes: Mapping[str, FlagChange], **_: Any) -> None:
        """Call them: a receiver of ``flags_changed``."""
        for names, function in self._functions:
            for name in sorted(names & changes.keys()):
                call(app, function, f"called on a change of {name}", changes[name])
