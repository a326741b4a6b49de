"""What a line of the log carries besides its text, for whoever collects logs."""

from __future__ import annotations

import contextlib
import logging

_MOST_CAUSES = 16


def fields(event: str, **more: object) -> dict[str, object]:
    """Make the ``extra`` of a log call: attributes of the record that begin with ``flagsmith_``.

    :param event: names what happened, in a word that never changes; the text may.
    :param more: what a program may want to know of it. Never a secret.
    """
    named = {f"flagsmith_{name}": fact for name, fact in more.items()}
    return {"flagsmith_event": event, **named}


class OncePerCause:
    """A time of trouble with one thing, from the first failure to the recovery.

    :param logger: where to say so.
    :param what: what is troubled, in a word: ``"fetch"`` gives the events ``fetch_trouble`` and
        ``fetch_recovered``, see :func:`.fields`.
    :param recovered: what to say when it works again.
    """

    def __init__(self, logger: logging.Logger, what: str, recovered: str) -> None:
        self._logger = logger
        self._what = what
        self._recovery = recovered
        self._causes: set[str] = set()

    def problem(self, message: str) -> None:
        """Something failed. Each message is logged once until :meth:`over`."""
        if message not in self._causes and len(self._causes) < _MOST_CAUSES:
            self._causes.add(message)
            self._warn(message, f"{self._what}_trouble")

    def recovered(self) -> None:
        """It works."""
        if self._causes:
            self._causes.clear()
            self._warn(self._recovery, f"{self._what}_recovered")

    def _warn(self, message: str, event: str) -> None:
        # A thread must outlive a filter of the app's that fails, such as one that wants a request.
        with contextlib.suppress(Exception):
            self._logger.warning("%s", message, extra=fields(event))
