"""Listening sockets that can refuse connections, and exchanges that can fail at any byte.

There is no HTTP library between a behaviour and the socket, since a library would correct the
faults that a test wants. Each connection has a thread; there are at most :data:`MOST_CONNECTIONS`.
"""

from __future__ import annotations

import contextlib
import http
import os
import select
import socket
import ssl
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

MOST_CONNECTIONS = 512
_LARGEST_REQUEST_BYTES = 1024 * 1024

_servers: weakref.WeakSet[Server] = weakref.WeakSet()


class GoneError(Exception):
    """The client has closed its connection, or the test is over."""


@dataclass(eq=False)
class Request:
    """A client's request.

    :param headers: by name in lower case.
    :param connection: the number of the connection; a client that keeps one open shows here.
    :param at: the time of its arrival, by the monotonic clock.
    :param sent: the bytes of the answer that the socket has taken so far.
    :param ended_at: the time when the answer or the stream ended.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    at: float
    raw: bytes = field(repr=False)
    sent: int = 0
    ended_at: float | None = None


class Exchange:
    """A request and the means to answer it, for the thread of its connection.

    :ivar request: the client's request.
    :ivar closing: whether the connection ends after this answer.
    """

    def __init__(self, connection: socket.socket, request: Request) -> None:
        self._connection = connection
        self.request = request
        self.closing = False

    def answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a complete answer, and keep the connection open."""
        length = [] if status in (204, 304) else [("Content-Length", str(len(body)))]
        self.send(head(status, [*(headers or {}).items(), *length]) + body)

    def send(self, data: bytes) -> None:
        """Send bytes as they are.

        :raises GoneError: if the client has closed the connection.
        """
        try:
            self._connection.sendall(data)
        except OSError:
            raise GoneError from None
        self.request.sent += len(data)

    def wait(self, seconds: float | None = None, wake: socket.socket | None = None) -> bool:
        """Wait for some seconds, or until the client closes the connection.

        :param wake: a socket that ends the wait when it can be read.
        :returns: whether ``wake`` ended it.
        :raises GoneError: as soon as the client closes the connection.
        """
        watched = [self._connection] if wake is None else [self._connection, wake]
        readable, _, _ = select.select(watched, [], [], seconds)
        # A client sends nothing before it has its answer: readable means closed.
        if self._connection in readable:
            raise GoneError
        return bool(readable)

    def end(self) -> None:
        """Close the connection when the behaviour returns."""
        self.closing = True

    def reset(self) -> None:
        """Reset the connection at once."""
        self.closing = True
        linger_no_longer = struct.pack("ii", 1, 0)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_no_longer)
        self._connection.close()


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return the head of an answer."""
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Odd"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Server:
    """A listening socket on the loopback address.

    :param handle: answers one request; runs in the thread of its connection.
    :param changed: notified whenever a connection opens or closes.
    :param tls: makes it speak TLS.
    """

    def __init__(
        self,
        handle: Callable[[Exchange], None],
        changed: threading.Condition,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._handle = handle
        self._changed = changed
        self._tls = tls
        self._open: dict[int, socket.socket] = {}
        self._threads: dict[int, threading.Thread] = {}
        #: The number of connections so far.
        self.opened = 0
        self._socket = self._bind(0)
        self.port: int = self._socket.getsockname()[1]
        self.origin = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        _servers.add(self)
        self.listen()

    @property
    def connections(self) -> int:
        """The number of open connections."""
        with self._changed:
            return len(self._open)

    def listen(self) -> None:
        """Accept connections (again)."""
        self._socket.listen(128)
        self._accepting = threading.Thread(target=self._accept, args=(self._socket,), daemon=True)
        self._accepting.start()

    def refuse(self) -> None:
        """Refuse connections until :meth:`listen`. The port stays this server's."""
        self._stop_accepting()
        self._socket = self._bind(self.port)

    def drop(self) -> None:
        """Close all connections that are open now."""
        with self._changed:
            for connection in self._open.values():
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the port and all connections, and wait for their threads."""
        self._stop_accepting()
        self.drop()
        with self._changed:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(5)

    def _bind(self, port: int) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        return bound

    def _stop_accepting(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._accepting.join(5)
        self._socket.close()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with self._changed:
                if len(self._open) >= MOST_CONNECTIONS:
                    connection.close()
                    continue
                self.opened += 1
                self._open[self.opened] = connection
                thread = threading.Thread(target=self._serve, args=(self.opened,), daemon=True)
                self._threads[self.opened] = thread
                self._changed.notify_all()
                thread.start()

    def _serve(self, number: int) -> None:
        connection = self._open[number]
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._open[number] = self._tls.wrap_socket(
                    connection, server_side=True
                )
            while (request := _read_request(connection, number)) is not None:
                exchange = Exchange(connection, request)
                try:
                    self._handle(exchange)
                finally:
                    with self._changed:
                        request.ended_at = time.monotonic()
                        self._changed.notify_all()
                if exchange.closing:
                    return
        except (OSError, GoneError):
            pass
        finally:
            with contextlib.suppress(OSError):
                # Also ends the connection if a forked child has a copy of the socket.
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
            with self._changed:
                del self._open[number], self._threads[number]
                self._changed.notify_all()

    def _abandon(self) -> None:
        """Close the copies in a forked child, which would keep ports and connections open."""
        for inherited in (self._socket, *self._open.values()):
            with contextlib.suppress(OSError):
                os.close(inherited.detach())


def _read_request(connection: socket.socket, number: int) -> Request | None:
    """Read one request. ``None``: the client has closed the connection."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += (received := connection.recv(65536))
        if not received or len(raw) > _LARGEST_REQUEST_BYTES:
            return None
    at = time.monotonic()
    text, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = text.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = min(int(headers.get("content-length", "0")), _LARGEST_REQUEST_BYTES)
    while len(body) < length:
        received = connection.recv(65536)
        if not received:
            return None
        body += received
        raw += received
    return Request(method, path, headers, body, number, at, raw)


def _abandon_all() -> None:
    for server in list(_servers):
        server._abandon()


os.register_at_fork(after_in_child=_abandon_all)
