"""The misbehaving Flagsmith: three origins, their scripts, and the record of their requests."""

from __future__ import annotations

import json
import ssl
import threading
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from tests.support.waiting import PATIENCE_SECONDS

from . import answers, truth
from .answers import Behaviour, Call
from .streams import Outbox, Stream
from .wire import Exchange, Request, Server


class Endpoint:
    """An endpoint: its script, and its requests in order.

    :param changed: guards the script and the requests.
    :param otherwise: the behaviour after the end of the script.
    """

    def __init__(self, changed: threading.Condition, otherwise: Any) -> None:
        self._changed = changed
        self._script: deque[Any] = deque()
        self._otherwise = otherwise
        self.requests: list[Request] = []

    def next(self, *behaviours: Behaviour | Stream) -> None:
        """Script behaviours for the next requests, one each."""
        with self._changed:
            self._script.extend(behaviours)

    def always(self, behaviour: Behaviour | Stream) -> None:
        """Set the behaviour after the end of the script."""
        with self._changed:
            self._otherwise = behaviour

    @property
    def count(self) -> int:
        """The number of requests."""
        with self._changed:
            return len(self.requests)

    def times(self) -> list[float]:
        """Return the times of the requests, by the monotonic clock."""
        with self._changed:
            return [request.at for request in self.requests]

    def _take(self, request: Request) -> Any:
        with self._changed:
            self.requests.append(request)
            behaviour = self._script.popleft() if self._script else self._otherwise
            self._changed.notify_all()
            return behaviour


class MisbehavingFlagsmith:
    """A Flagsmith that behaves as a test scripts it; see the package for its use.

    :ivar truth: the environment as it really is.
    :ivar environment_document: the endpoint of that name; so are ``flags``, ``identities`` and
        ``other`` (the rest of the API).
    :ivar stream: the endpoint of the stream.
    :ivar elsewhere: another origin, a target of redirects. Its URL is ``elsewhere_url``.
    :ivar api_server: the API's socket, which can ``refuse()`` and ``listen()`` again; so can
        ``stream_server`` and ``elsewhere_server``.
    :param tls: makes the API speak TLS.
    """

    server_side_key = truth.SERVER_SIDE_KEY
    client_side_key = truth.CLIENT_SIDE_KEY

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        #: Notified at each request, at the end of each answer, and when a connection comes or goes.
        self.changed = threading.Condition(threading.RLock())
        self.truth = truth.Truth()
        self.environment_document = Endpoint(self.changed, answers.truth)
        self.flags = Endpoint(self.changed, answers.truth)
        self.identities = Endpoint(self.changed, answers.truth)
        self.other = Endpoint(self.changed, answers.status(404))
        self.stream = Endpoint(self.changed, Stream())
        self.elsewhere = Endpoint(self.changed, answers.truth)
        self._outboxes: set[Outbox] = set()
        self.api_server = Server(self._handle_api, self.changed, tls)
        self.stream_server = Server(self._handle_stream, self.changed)
        self.elsewhere_server = Server(self._handle_elsewhere, self.changed)
        self.api_url = f"{self.api_server.origin}/api/v1/"
        self.realtime_api_url = f"{self.stream_server.origin}/"
        self.elsewhere_url = f"{self.elsewhere_server.origin}/api/v1/environment-document/"

    def __enter__(self) -> MisbehavingFlagsmith:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all sockets and wait for their threads."""
        for server in (self.api_server, self.stream_server, self.elsewhere_server):
            server.close()

    @property
    def config(self) -> dict[str, Any]:
        """The settings of an app with the server-side key: local evaluation."""
        return {
            "FLAGSMITH_ENVIRONMENT_KEY": self.server_side_key,
            "FLAGSMITH_API_URL": self.api_url,
            "FLAGSMITH_REALTIME_API_URL": self.realtime_api_url,
        }

    @property
    def environ(self) -> dict[str, str]:
        """The same as environment variables, for ``app.config.from_prefixed_env()``."""
        return {f"FLASK_{name}": json.dumps(value) for name, value in self.config.items()}

    @property
    def calls(self) -> list[Request]:
        """All calls of the API, in order."""
        with self.changed:
            endpoints = (self.environment_document, self.flags, self.identities, self.other)
            return sorted((r for e in endpoints for r in e.requests), key=lambda r: r.at)

    @property
    def leaks(self) -> list[Request]:
        """The requests to the stream or elsewhere that carried the secret key."""
        with self.changed:
            return [
                request
                for request in (*self.stream.requests, *self.elsewhere.requests)
                if "x-environment-key" in request.headers
                or self.server_side_key.encode() in request.raw
            ]

    @property
    def open_streams(self) -> int:
        """The number of open streams."""
        with self.changed:
            return len(self._outboxes)

    def change(
        self,
        feature: str,
        *,
        enabled: bool | None = None,
        value: Any = truth.UNCHANGED,
        announce: bool = True,
    ) -> float:
        """Change a feature, and announce it to the streams that are open.

        :returns: the new epoch.
        """
        version = self.truth.change(feature, enabled=enabled, value=value)
        if announce:
            self.announce(version.epoch)
        return version.epoch

    def announce(self, *epochs: float) -> None:
        """Announce epochs, true or not, to the streams that are open."""
        self._put(*epochs)

    def say(self, *items: Any) -> None:
        """Send bytes as they are to the open streams; or end them (``END``), or ``RESET``."""
        self._put(*items)

    def wait_for(self, predicate: Callable[[], Any], timeout: float = PATIENCE_SECONDS) -> None:
        """Wait for a condition on requests, streams and connections.

        :raises AssertionError: if it does not hold in time.
        """
        with self.changed:
            if not self.changed.wait_for(predicate, timeout):
                raise AssertionError(
                    f"not so within {timeout:g} s; there were {len(self.calls)} calls and "
                    f"{self.stream.count} streams, of which {self.open_streams} are open"
                )

    def wait_for_streams(self, count: int = 1, timeout: float = PATIENCE_SECONDS) -> None:
        """Wait until exactly so many streams are open."""
        self.wait_for(lambda: self.open_streams == count, timeout)

    def _put(self, *items: Any) -> None:
        with self.changed:
            outboxes = list(self._outboxes)
        for outbox in outboxes:
            for item in items:
                outbox.put(item)

    def _handle_api(self, exchange: Exchange) -> None:
        path = urlsplit(exchange.request.path).path
        endpoint = {
            "/api/v1/environment-document/": self.environment_document,
            "/api/v1/flags/": self.flags,
            "/api/v1/identities/": self.identities,
        }.get(path, self.other)
        endpoint._take(exchange.request)(Call(exchange, self.truth))

    def _handle_elsewhere(self, exchange: Exchange) -> None:
        self.elsewhere._take(exchange.request)(Call(exchange, self.truth))

    def _handle_stream(self, exchange: Exchange) -> None:
        behaviour = self.stream._take(exchange.request)
        call = Call(exchange, self.truth)
        if not isinstance(behaviour, Stream):
            behaviour(call)
            return
        outbox = Outbox()
        with self.changed:
            self._outboxes.add(outbox)
            self.changed.notify_all()
        try:
            behaviour(call, outbox)
        finally:
            with self.changed:
                self._outboxes.discard(outbox)
                self.changed.notify_all()
            outbox.close()
