"""The wire to Flagsmith: the REST API, the stream of changes, and the delays between tries.

Nothing here holds state about flags. Each client belongs to one thread at a time; other threads
only end its connections.
"""

from __future__ import annotations

from .api import API
from .backoff import RETRY_SECONDS, Random, Reconnect, bounded_retry_after, jitter, retry_delay
from .deadline import Deadline
from .failures import describe_failure
from .reports import ReportClient, ReportError
from .session import get_within_origin, make_session, origin
from .sockets import Sockets
from .stream import (
    ChangeEvent,
    MalformedEvent,
    Stream,
    StreamError,
    StreamProtocolError,
    StreamRefusedError,
)

__all__ = [
    "API",
    "RETRY_SECONDS",
    "ChangeEvent",
    "Deadline",
    "MalformedEvent",
    "Random",
    "Reconnect",
    "ReportClient",
    "ReportError",
    "Sockets",
    "Stream",
    "StreamError",
    "StreamProtocolError",
    "StreamRefusedError",
    "bounded_retry_after",
    "describe_failure",
    "get_within_origin",
    "jitter",
    "make_session",
    "origin",
    "retry_delay",
]
