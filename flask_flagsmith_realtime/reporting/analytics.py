"""Usage analytics: how often each feature was read, for the charts on Flagsmith."""

from __future__ import annotations

import json
import logging
import threading

from ..client import ReportError
from ..config import Config
from ..logs import BackgroundLogger, OncePerCause
from .posting import Post, Retry, describe_status

logger = BackgroundLogger(logging.getLogger(__name__))


class Analytics:
    """Counts of reads by feature, since the last report. Thread-safe.

    :param config: the app's settings.
    """

    def __init__(self, config: Config) -> None:
        self._url = config.analytics_url
        self._problem = OncePerCause(logger, "analytics", "Flagsmith takes reports of usage again.")
        self.reset()

    def reset(self) -> None:
        """Begins at zero, with a new lock."""
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def count(self, feature_name: str, reads: int) -> None:
        """Counts reads."""
        with self._lock:
            self._counts[feature_name] = self._counts.get(feature_name, 0) + reads

    def report(self, post: Post, may_retry: Retry) -> None:
        """Posts the counts and begins at zero. If that fails twice, they are dropped."""
        with self._lock:
            counts, self._counts = self._counts, {}
        if not counts:
            return
        content = json.dumps(counts).encode()
        failure = self._post(post, content)
        if failure is not None and may_retry():
            failure = self._post(post, content)
        if failure is None:
            self._problem.recovered()
        else:
            self._problem.problem(
                f"Usage could not be reported to {self._url}: {failure}. These counts are dropped. "
                "Where the API takes no analytics, set FLAGSMITH_ANALYTICS_URL, or set "
                "FLAGSMITH_ENABLE_ANALYTICS to False."
            )

    def _post(self, post: Post, content: bytes) -> str | None:
        """Posts once. Returns the failure, if there is one."""
        try:
            status, _ = post(self._url, content)
        except ReportError as error:
            return str(error)
        return None if 200 <= status < 300 else f"it answered {describe_status(status)}"
