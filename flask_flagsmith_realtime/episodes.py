"""One line in the log for each cause and for the recovery, not one for each try."""

from __future__ import annotations

import contextlib
import logging

from . import log

_MOST_CAUSES = 16


class Episode:
    """A time of trouble with one thing, from the first failure to the recovery.

    :param logger: where to say so.
    :param what: what is troubled, in a word: ``"fetch"`` gives the events ``fetch_trouble`` and
        ``fetch_recovered``, see :func:`.log.facts`.
    :param recovered: what to say when it works again.
    """

    def __init__(self, logger: logging.Logger, what: str, recovered: str) -> None:
        self._logger = logger
        self._what = what
        self._recovered = recovered
        self._causes: set[str] = set()

    def trouble(self, message: str) -> None:
        """Something failed. Each message is logged once until :meth:`over`."""
        if message not in self._causes and len(self._causes) < _MOST_CAUSES:
            self._causes.add(message)
            self._warn(message, f"{self._what}_trouble")

    def over(self) -> None:
        """It works."""
        if self._causes:
            self._causes.clear()
            self._warn(self._recovered, f"{self._what}_recovered")

    def _warn(self, message: str, event: str) -> None:
        # A thread must outlive a filter of the app's that fails, such as one that wants a request.
        with contextlib.suppress(Exception):
            self._logger.warning("%s", message, extra=log.facts(event))
