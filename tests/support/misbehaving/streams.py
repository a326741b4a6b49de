"""Behaviours of the stream: values of :class:`Stream`.

Refusals are those of the API: ``status(404)``, ``html(200)``, ``too_many("3")``, ``redirect(…)``.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .answers import Call
from .wire import Exchange, head

#: For :meth:`.MisbehavingFlagsmith.say`: the stream ends regularly.
END: Any = object()
#: For :meth:`.MisbehavingFlagsmith.say`: the stream is reset.
RESET: Any = object()


def event(epoch: Any, retry: int | None = 15000) -> bytes:
    """Return an event as Flagsmith sends it; a wrong ``epoch`` makes a wrong event."""
    return data_event(json.dumps({"updated_at": epoch}), retry)


def data_event(data: str, retry: int | None = None) -> bytes:
    """Return an event with any data."""
    asked = "" if retry is None else f"retry: {retry}\n"
    return f"event: environment_updated\n{asked}data: {data}\n\n".encode()


def unchanged(epoch: float) -> float:
    """Return the epoch: a greeting with the right epoch."""
    return epoch


@dataclass(frozen=True)
class Stream:
    """An open stream. With its defaults it behaves as Flagsmith's.

    :param greeting: makes the epoch of the greeting out of the right one; ``None``: no greeting.
    :param opening: bytes at the start, such as a byte order mark.
    :param render: makes an event out of an epoch.
    :param follows: whether changes are announced.
    :param lasts: seconds until the server ends it; ``None``: it does not.
    :param ending: bytes at the end, such as half an event.
    :param resets: whether it ends by a reset.
    :param chunked: whether it is sent in chunks; otherwise without any framing.
    :param gzipped: whether it is compressed, although no client asks for it.
    :param piece: the bytes in one packet; ``None``: each item in one.
    :param content_type: the header of that name.
    """

    greeting: Callable[[float], float] | None = unchanged
    opening: bytes = b""
    render: Callable[[float], bytes] = event
    follows: bool = True
    lasts: float | None = None
    ending: bytes = b""
    resets: bool = False
    chunked: bool = True
    gzipped: bool = False
    piece: int | None = None
    content_type: str = "text/event-stream"

    def __call__(self, call: Call, outbox: Outbox) -> None:
        """Serve the stream until it ends."""
        exchange = call.exchange
        encode = self._encoder()
        headers = [("Content-Type", self.content_type), ("Cache-Control", "no-store")]
        if self.chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        if self.gzipped:
            headers.append(("Content-Encoding", "gzip"))
        exchange.send(head(200, headers))
        until = None if self.lasts is None else time.monotonic() + self.lasts
        self._send(exchange, encode, self.opening)
        if self.greeting is not None:
            self._send(exchange, encode, self.render(self.greeting(call.truth.version.epoch)))
        while (item := outbox.take(exchange, until)) not in (END, RESET):
            if isinstance(item, bytes):
                self._send(exchange, encode, item)
            elif self.follows:
                self._send(exchange, encode, self.render(item))
        self._send(exchange, encode, self.ending)
        if self.resets or item is RESET:
            exchange.reset()
            return
        if self.chunked:
            exchange.send(b"0\r\n\r\n")
        exchange.end()

    def _send(self, exchange: Exchange, encode: Callable[[bytes], bytes], data: bytes) -> None:
        size = self.piece or len(data) or 1
        for start in range(0, len(data), size):
            exchange.send(encode(data[start : start + size]))

    def _encoder(self) -> Callable[[bytes], bytes]:
        compressor = zlib.compressobj(wbits=31)

        def encode(data: bytes) -> bytes:
            if self.gzipped:
                data = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
            return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data

        return encode


#: A stream that sends nothing.
SILENT = Stream(greeting=None, follows=False)
#: A stream that ends every second.
RECYCLED = Stream(lasts=1.0)


def endless(piece: bytes) -> Callable[[Call], None]:
    """Repeat ``piece`` without end, as fast as possible: an endless line or event."""
    block = piece * (65536 // len(piece) + 1)

    def send(call: Call) -> None:
        call.exchange.send(head(200, [("Content-Type", "text/event-stream")]))
        while True:
            call.exchange.send(block)

    return send


class Outbox:
    """The queue of an open stream. Any thread may put items into it without waiting."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._bell, self._ring = socket.socketpair()
        self._ring.setblocking(False)

    def put(self, item: Any) -> None:
        """Put in an epoch, bytes, :data:`END` or :data:`RESET`."""
        self._items.append(item)
        # A full socket wakes the reader anyway; a closed one belongs to a stream that has ended.
        with contextlib.suppress(OSError):
            self._ring.send(b"!")

    def take(self, exchange: Exchange, until: float | None) -> Any:
        """Wait for the next item; :data:`END` once ``until`` is over."""
        while not self._items:
            seconds = None if until is None else until - time.monotonic()
            if seconds is not None and seconds <= 0:
                return END
            if exchange.wait(seconds, self._bell):
                self._bell.recv(65536)
        if until is not None and time.monotonic() >= until:
            return END
        return self._items.popleft()

    def close(self) -> None:
        """Close the sockets."""
        self._bell.close()
        self._ring.close()
