"""The types by which reports are posted, and words for their answers."""

from __future__ import annotations

import http
from collections.abc import Callable
from typing import TypeAlias

#: Posts content to a URL. Returns the status and the body of the answer; raises ReportError if
#: there is none.
Post: TypeAlias = "Callable[[str, bytes], tuple[int, bytes]]"

#: Waits until a report may be tried again. Returns ``False`` if it may not: the reporter stops.
Retry: TypeAlias = "Callable[[], bool]"


def describe_status(status: int) -> str:
    """Returns a status with its standard phrase."""
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
