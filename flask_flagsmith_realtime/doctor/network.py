"""The doctor's calls, each in bounded time. They return the answers without a judgement."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urljoin

from ..client import (
    ChangeEvent,
    Deadline,
    MalformedEvent,
    Sockets,
    Stream,
    StreamError,
    get_within_origin,
    make_session,
)
from ..config import Config

#: Longer than a greeting takes, short for a person who waits.
GREETING_SECONDS = 3.0


def is_flagsmith(config: Config, base_url: str) -> bool:
    """Returns ``True`` if a server asks for a key, as Flagsmith's API does.

    :param base_url: the base URL of an API. It is called without a key, which costs nothing.
    :raises OSError: if there is no answer.
    """
    timeout = config.request_timeout_seconds
    headers = {**config.custom_headers, "Accept": "application/json"}
    url = urljoin(base_url, "flags/")
    with (
        make_session(config, Sockets()) as session,
        get_within_origin(session, url, headers, (timeout, timeout)) as response,
    ):
        content_type = response.headers.get("Content-Type", "")
        return response.status_code in (401, 403) and content_type.startswith("application/json")


def greet(
    config: Config, environment_id: str, seconds: float = GREETING_SECONDS
) -> ChangeEvent | MalformedEvent | None:
    """Opens the stream and returns its first event; ``None`` if none comes in time.

    :raises StreamError: if it cannot be opened, or is not a stream.
    """
    sockets = Sockets()
    bounded = replace(
        config,
        stream_timeout_seconds=min(config.stream_timeout_seconds, config.request_timeout_seconds),
    )
    # Heartbeats, which are no greeting, keep a silent stream from timing out.
    with (
        Stream(bounded, environment_id, sockets) as stream,
        Deadline(sockets, seconds) as deadline,
    ):
        try:
            return next(stream.events(), None)
        except StreamError:
            if deadline.passed:
                return None
            raise
