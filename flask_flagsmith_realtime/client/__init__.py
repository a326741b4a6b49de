"""TODO face."""

from __future__ import annotations

from .api import API
from .backoff import RETRY_SECONDS, Random, Reconnect, bounded_retry_after, retry_delay, spread
from .http import (
    Sockets,
    describe_failure,
    get_within_origin,
    make_session,
    origin,
    post_json,
    retry_after_seconds,
    status_text,
)
from .stream import (
    ChangeEvent,
    Stream,
    StreamError,
    StreamOverloadedError,
    StreamProtocolError,
    StreamRefusedError,
)

__all__ = [
    "API",
    "RETRY_SECONDS",
    "ChangeEvent",
    "Random",
    "Reconnect",
    "Sockets",
    "Stream",
    "StreamError",
    "StreamOverloadedError",
    "StreamProtocolError",
    "StreamRefusedError",
    "bounded_retry_after",
    "describe_failure",
    "get_within_origin",
    "make_session",
    "origin",
    "post_json",
    "retry_after_seconds",
    "retry_delay",
    "spread",
    "status_text",
]
