"""The doctor's questions to the network: each asked once, in bounded time, without a judgement."""

from __future__ import annotations

import email.utils
import socket
import ssl
import threading
import time
from dataclasses import dataclass, replace
from urllib.parse import urljoin

import requests
import requests.utils

from ..client import ChangeEvent, Sockets, Stream, StreamError, get_within_origin, make_session
from ..config import Config

#: Longer than a greeting takes, short for a person who waits.
GREETING_SECONDS = 3.0


@dataclass(frozen=True)
class Reply:
    """How a server answers somebody without a key.

    :param status: the status code.
    :param content_type: what the body is said to be.
    :param ahead: by how many seconds its clock is ahead of this machine's; ``None`` if it did not
        say the time. Right to a second or so, and to the time that the call took.
    """

    status: int
    content_type: str
    ahead: float | None

    @property
    def is_flagsmith(self) -> bool:
        """Whether it asks for a key, as Flagsmith's API does."""
        return self.status in (401, 403) and self.content_type.startswith("application/json")


@dataclass(frozen=True)
class Greeting:
    """How a stream begins.

    :param came: whether it said anything in time.
    :param epoch: the epoch that it told, if it told one.
    """

    came: bool
    epoch: float | None = None


def is_proxied(config: Config, url: str) -> bool:
    """Whether a proxy is between this machine and a URL."""
    session = make_session(config, Sockets())
    settings = session.merge_environment_settings(url, {}, True, None, None)
    return requests.utils.select_proxy(url, settings["proxies"]) is not None


def resolve(host: str) -> list[str]:
    """Look up a host's addresses.

    :raises OSError: if it has none.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


def certificate_expiry(config: Config, host: str, port: int) -> float:
    """Shake hands by TLS, trusting whom calls of the API trust.

    :returns: until when the server's certificate is valid, in seconds since 1970.
    :raises OSError: if there is no connection, or no trust.
    """
    session = make_session(config, Sockets())
    settings = session.merge_environment_settings(f"https://{host}/", {}, True, None, None)
    trusted = settings["verify"]
    if not isinstance(trusted, str):
        trusted = requests.utils.DEFAULT_CA_BUNDLE_PATH
    context = ssl.create_default_context()
    context.load_verify_locations(trusted)
    timeout = config.request_timeout_seconds
    with (
        socket.create_connection((host, port), timeout) as connection,
        context.wrap_socket(connection, server_hostname=host) as secured,
    ):
        certificate = secured.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(certificate["notAfter"])))


def ask_without_key(config: Config, base_url: str) -> Reply:
    """Ask an API for its flags without a key, which costs nothing.

    :param base_url: the API's base URL.
    :raises OSError: if there is no answer.
    """
    timeout = config.request_timeout_seconds
    with make_session(config, Sockets()) as session:
        headers = {**config.custom_headers, "Accept": "application/json"}
        asked_at = time.time()
        url = urljoin(base_url, "flags/")
        with get_within_origin(session, url, headers, (timeout, timeout)) as response:
            middle = (asked_at + time.time()) / 2
            return Reply(
                response.status_code,
                response.headers.get("Content-Type", ""),
                _ahead(response.headers.get("Date"), response.headers.get("Age"), middle),
            )


def greet(config: Config, environment_id: str, seconds: float = GREETING_SECONDS) -> Greeting:
    """Open the stream and wait a while for its first event.

    :raises StreamError: if it cannot be opened, or is no stream.
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

        # A heartbeat is no greeting, and keeps a silent stream from timing out.
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
    """By how much a Date header is ahead of a moment. A cache adds how long it has kept it."""
    if date is None:
        return None
    try:
        told = email.utils.parsedate_to_datetime(date).timestamp()
        kept = float(age) if age is not None else 0.0
    except (ArithmeticError, TypeError, ValueError):
        return None
    # The header's time is cut to the second.
    return told + 0.5 + kept - now
