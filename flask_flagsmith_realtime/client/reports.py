"""Posts what an app reports to Flagsmith: usage and events.

A client is used by one thread, except :meth:`ReportClient.interrupt`. It follows no redirect, since
each request carries the environment key.
"""

from __future__ import annotations

import contextlib

import urllib3

from ..config import Config
from .deadline import Deadline
from .failures import describe_failure
from .session import api_headers, make_session, origin, post_json
from .sockets import Sockets

#: Longer answers are cut off: only their beginning is read.
_MOST_BYTES = 256 * 1024


class ReportError(Exception):
    """There is no answer. The message is the reason, without a URL."""


class ReportClient:
    """Posts JSON to the URLs that take an environment's reports.

    :param config: the app's settings. Their custom headers are sent to the API's own origin only.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._sockets = Sockets()
        self._session = make_session(config, self._sockets)

    def post(self, url: str, content: bytes, seconds: float) -> tuple[int, bytes]:
        """Posts a report, and returns the status and the body of the answer.

        :param seconds: the longest time for the whole call.
        :raises ReportError: if there is no answer.
        """
        headers = api_headers(self._config, custom=origin(url) == origin(self._config.api_url))
        with Deadline(self._sockets, seconds) as deadline:
            try:
                with post_json(self._session, url, headers, content, seconds) as response:
                    body = response.raw.read(_MOST_BYTES, decode_content=True)
                    if not deadline.passed:
                        return response.status_code, body
                    raise TimeoutError
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                reason = TimeoutError() if deadline.passed else error
                raise ReportError(describe_failure(reason)) from None

    def interrupt(self) -> None:
        """Ends a call that is under way, and refuses later ones. Thread-safe."""
        self._sockets.end()

    def close(self) -> None:
        """Closes idle connections."""
        with contextlib.suppress(OSError):
            self._session.close()
