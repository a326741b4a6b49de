"""The signals: defines and sends them.

The sender is always the app, so ``connect_via(app)`` subscribes to one app. Receivers run in the
dispatcher's thread, in an app context of their own. A receiver that raises is logged with its name
and stops no other; a slow one delays the signals that follow, but no flag. ``flag_evaluated`` is
the exception: it is sent by the thread that reads a flag, see :mod:`.reading.recording`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from blinker import NamedSignal, Namespace
from flask import Flask, current_app, has_app_context, has_request_context

from . import logs
from .logs import BackgroundLogger
from .model import FlagChange

logger = BackgroundLogger(logging.getLogger(__name__))

#: The names of the functions that run at the moment, by the thread that runs them.
_running: dict[int, str] = {}

_signals = Namespace()

#: Names and types of error of the failed receivers of ``flag_evaluated`` that are in the log.
_failed_readers: set[tuple[str, type[BaseException]]] = set()
_MOST_FAILED_READERS = 100

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

#: An app context has read a flag. Sent with ``flag``, the :class:`~flask_flagsmith_realtime.Flag`
#: that the reader got, and ``identity``, the :class:`~flask_flagsmith_realtime.Identity` whose flag
#: it is, or ``None`` for the environment's. Sent once in an app context for each feature and
#: identity, in the reader's thread, while it reads; so a receiver is a plain function, and a quick
#: one. A context finds its receivers with its first flag: one that connects later hears the next.
flag_evaluated: NamedSignal = _signals.signal("flagsmith-flag-evaluated")

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
    # Outside a context, CPython 3.14 raises in the comparison; older ones say that they differ.
    is_current = has_app_context() and current_app == app
    return nullcontext() if is_current else app.app_context()


def call(app: Flask, function: Callable[..., Any], what: str, *args: Any, **kwargs: Any) -> None:
    """Calls a function of the app's, plain or async. If it raises, the log has its name and what it
    is for."""
    name, thread = name_of(function), threading.get_ident()
    outer = _running.get(thread)
    _running[thread] = name
    try:
        app.ensure_sync(function)(*args, **kwargs)
    except BaseException as error:
        if _ends_a_request(error):
            raise
        logger.exception(
            "%s, %s, failed.", name, what, extra=logs.fields("receiver_failed", function=name)
        )
    finally:
        if outer is None:
            _running.pop(thread, None)
        else:
            _running[thread] = outer


def running_in(thread: int) -> str | None:
    """Returns the name of the receiver that a thread runs at the moment."""
    return _running.get(thread)


def log_failed_reader(function: Callable[..., Any], error: BaseException) -> None:
    """Logs that a receiver of ``flag_evaluated`` raises: once for each receiver and type of error,
    since it may do so at each read.

    :raises BaseException: the error, if it is meant to end the request.
    """
    if _ends_a_request(error):
        raise error
    cause = name_of(function), type(error)
    if cause not in _failed_readers and len(_failed_readers) < _MOST_FAILED_READERS:
        _failed_readers.add(cause)
        logger.exception(
            "%s, a receiver of %s, failed. Further failures of this type are not logged.",
            cause[0],
            flag_evaluated.name,
            extra=logs.fields("receiver_failed", function=cause[0]),
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
