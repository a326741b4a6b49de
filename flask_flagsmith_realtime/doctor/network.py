"""The doctor's calls, each in bounded time. They return the answers without a judgement."""

from __future__ import annotations

import email.utils
import threading
import time
from dataclasses import dataclass, replace
from urllib.parse import urljoin

from ..client import ChangeEvent, Sockets, Stream, StreamError, get_within_origin, make_session
from ..config import Config

#: Longer than a greeting takes, short for a person who waits.
GREETING_SECONDS = 3.0


@dataclass(frozen=True)
class Reply:
    """A server's answer to a call without a key.

    :param status: the status code.
    :param content_type: the content type of the body.
    :param ahead: the seconds by which the server's clock is ahead of this machine's; ``None``
        without a Date header. Right to a second or so, and to the duration of the call.
    """

    status: int
    content_type: str
    ahead: float | None

    @property
    def is_flagsmith(self) -> bool:
        """True if the server asks for a key, as Flagsmith's API does."""
        return self.status in (401, 403) and self.content_type.startswith("application/json")


@dataclass(frozen=True)
class Greeting:
    """The beginning of a stream.

    :param came: an event came in time.
    :param epoch: the epoch of that event, if it holds one.
    """

    came: bool
    epoch: float | None = None


def ask_without_key(config: Config, base_url: str) -> Reply:
    """Calls an API without a key, which costs nothing.

    :param base_url: the API's base URL.
    :raises OSError: if there is no answer.
    """
    timeout = config.request_timeout_seconds
    with make_session(config, Sockets()) as session:
        headers = {**config.custom_headers, "Accept": "application/json"}
        url = urljoin(base_url, "flags/")
        sent_at = time.time()
        with get_within_origin(session, url, headers, (timeout, timeout)) as response:
            middle = (sent_at + time.time()) / 2
            return Reply(
                response.status_code,
                response.headers.get("Content-Type", ""),
                _ahead(response.headers.get("Date"), response.headers.get("Age"), middle),
            )


def greet(config: Config, environment_id: str, seconds: float = GREETING_SECONDS) -> Greeting:
    """Opens the stream and waits for its first event.

    :raises StreamError: if it cannot be opened, or is not a stream.
    """
    sockets = Sockets()
    bounded = replace(
        config,
        stream_timeout_seconds=min(config.stream_timeout_seconds, config.request_timeout_seconds),
    )
    with Stream(bounded, environment_id, sockets) as stream:
        over = threading.Event()

        def hang_up() -> None:
            over.set()
            sockets.shut_down()

        # Heartbeats, which are no greeting, keep a silent stream from timing out.
        timer = threading.Timer(seconds, hang_up)
        timer.start()
        try:
            for event in stream.events():
                return Greeting(True, event.epoch if isinstance(event, ChangeEvent) else None)
        except StreamError:
            if not over.is_set():
                raise
        finally:
            timer.cancel()
            timer.join()
    return Greeting(False)


def _ahead(date: str | None, age: str | None, now: float) -> float | None:
    """Returns the seconds by which a Date header is ahead of a moment; a cache adds an Age."""
    if date is None:
        return None
    try:
        sent = email.utils.parsedate_to_datetime(date).timestamp()
        age_seconds = float(age) if age is not None else 0.0
    except (ArithmeticError, TypeError, ValueError):
        return None
    # The header cuts the time to the second.
    return sent + 0.5 + age_seconds - now
