"""Logging: fields of a record, one line for each cause, and loggers that never raise.

The app's log handlers and filters may raise, want a request, or block. No step of this package may
fail for that, so each module logs through a :class:`SafeLogger`. The engine's threads must not wait
for a handler either: a :class:`BackgroundLogger` makes the record in the calling thread and has it
handled in another, *flagsmith-log*, which runs while lines wait. If more than :data:`MOST_LINES`
wait, the oldest are dropped. The lines that wait at a fork are written by the parent.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import sys
import threading
from collections import deque
from typing import Any

#: How many lines wait for a slow handler.
MOST_LINES = 1000

_MOST_CAUSES = 16


def fields(event: str, **more: object) -> dict[str, object]:
    """Returns the ``extra`` of a log call: attributes of the record that begin with ``flagsmith_``.

    :param event: a name for what happened, which stays the same when the text changes.
    :param more: values for programs that read logs. Never a secret.
    """
    named = {f"flagsmith_{name}": value for name, value in more.items()}
    return {"flagsmith_event": event, **named}


class _Writer:
    """Hands records to their loggers' handlers, in a thread of its own."""

    def __init__(self) -> None:
        self.key = _key()
        self._changed = threading.Condition()
        self._lines: deque[tuple[logging.Logger, logging.LogRecord]] = deque(maxlen=MOST_LINES)
        self._is_running = False

    def put(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        with self._changed:
            self._lines.append((logger, record))
            if self._is_running:
                return
            self._is_running = True
        # An empty context: gevent, and some Pythons, let a thread inherit the starter's.
        run = contextvars.Context().run
        try:
            threading.Thread(
                target=run, args=(self._run,), name="flagsmith-log", daemon=True
            ).start()
        except RuntimeError:
            # The system has no thread left: the next line tries again.
            self._is_running = False

    def flush(self, seconds: float) -> None:
        """Waits until all lines are written, but not for long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_running, seconds)

    def _run(self) -> None:
        while self.key == _key():
            with self._changed:
                if not self._lines:
                    self._is_running = False
                    self._changed.notify_all()
                    return
                logger, record = self._lines.popleft()
            # The app's handlers and filters may raise anything.
            with contextlib.suppress(BaseException):
                logger.handle(record)


def _key() -> object:
    """Changes with everything that makes a writer useless: a fork, and gevent's patching, whose
    locks do not mix with those before it."""
    return os.getpid(), threading.Lock


_writer = _Writer()


def _current_writer() -> _Writer:
    global _writer
    if _writer.key != _key():
        _writer = _Writer()
    return _writer


def flush(seconds: float = 0.2) -> None:
    """Waits briefly until the lines of the engine's threads are written: before a process ends."""
    _current_writer().flush(seconds)


class SafeLogger:
    """Logs in the calling thread, and never raises."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, message: str, *args: object, extra: dict[str, object]) -> None:
        """Logs a line that helps in a search for errors."""
        self._log(logging.DEBUG, message, args, extra)

    def info(self, message: str, *args: object, extra: dict[str, object]) -> None:
        """Logs a line about normal work."""
        self._log(logging.INFO, message, args, extra)

    def warning(self, message: str, *args: object, extra: dict[str, object]) -> None:
        """Logs a line about a failure that the package survives."""
        self._log(logging.WARNING, message, args, extra)

    def exception(self, message: str, *args: object, extra: dict[str, object]) -> None:
        """Logs an unexpected error with its traceback. For ``except`` blocks."""
        self._log(logging.ERROR, message, args, extra, sys.exc_info())

    def _log(
        self,
        level: int,
        message: str,
        args: tuple[object, ...],
        extra: dict[str, object],
        error: Any = None,
    ) -> None:
        with contextlib.suppress(Exception):
            if self._logger.isEnabledFor(level):
                path, line, function, _ = self._logger.findCaller(stacklevel=3)
                record = self._logger.makeRecord(
                    self._logger.name, level, path, line, message, args, error, function, extra
                )
                self._handle(record)

    def _handle(self, record: logging.LogRecord) -> None:
        self._logger.handle(record)


class BackgroundLogger(SafeLogger):
    """Logs from the engine's threads: never raises, and never waits for a handler."""

    def _handle(self, record: logging.LogRecord) -> None:
        _current_writer().put(self._logger, record)


class OncePerCause:
    """Logs each cause of a failure once, and the recovery once.

    :param name: the name of what fails: ``"fetch"`` gives the events ``fetch_trouble`` and
        ``fetch_recovered``, see :func:`.fields`.
    :param recovery: the text of the recovery; an empty one where there is none.
    """

    def __init__(self, logger: SafeLogger, name: str, recovery: str) -> None:
        self._logger = logger
        self._name = name
        self._recovery = recovery
        self._causes: set[str] = set()

    def problem(self, message: str) -> None:
        """Logs a failure. Each message is logged once until :meth:`recovered`."""
        if message not in self._causes and len(self._causes) < _MOST_CAUSES:
            self._causes.add(message)
            self._warn(message, f"{self._name}_trouble")

    def recovered(self) -> None:
        """Logs the recovery, if a failure was logged."""
        if self._causes:
            self._causes.clear()
            self._warn(self._recovery, f"{self._name}_recovered")

    def _warn(self, message: str, event: str) -> None:
        self._logger.warning("%s", message, extra=fields(event))
