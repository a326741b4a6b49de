"""What the stream does with a connection: a value, :class:`Stream`, says it all.

Refusals are the API's: ``status(404)``, ``html(200)``, ``too_many("3")``, ``redirect(…)``.
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

#: For :meth:`.MisbehavingFlagsmith.say`: the stream ends in order.
END: Any = object()
#: For :meth:`.MisbehavingFlagsmith.say`: the stream is reset.
RESET: Any = object()


def event(epoch: Any, retry: int | None = 15000) -> bytes:
    """An event as Flagsmith sends it; an odd ``epoch`` becomes an odd event."""
    return data_event(json.dumps({"updated_at": epoch}), retry)


def data_event(data: str, retry: int | None = None) -> bytes:
    """An event with any data."""
    asked = "" if retry is None else f"retry: {retry}\n"
    return f"event: environment_updated\n{asked}data: {data}\n\n".encode()


def unchanged(epoch: float) -> float:
    """Greets with the truth."""
    return epoch


@dataclass(frozen=True)
class Stream:
    """An open stream, well behaved but for what it is told.

    :param greeting: what to greet with, out of the true epoch; ``None``: no greeting.
    :param opening: bytes before everything else, such as a byte order mark.
    :param render: makes an event out of an epoch.
    :param follows: whether changes are announced.
    :param lasts: after how many seconds it is recycled; ``None``: never.
    :param ending: bytes before that end, such as half an event.
    :param resets: whether it ends by a reset.
    :param chunked: whether it has chunks; otherwise it has no framing at all.
    :param gzipped: whether it is compressed, though nobody asked.
    :param piece: how many bytes go into one packet; ``None``: as they come.
    :param content_type: what it claims to be.
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


#: What a stream does that never says anything.
SILENT = Stream(greeting=None, follows=False)
#: A stream that ends every second.
RECYCLED = Stream(lasts=1.0)


def endless(piece: bytes) -> Callable[[Call], None]:
    """A stream that repeats ``piece`` for ever, as fast as it can: an endless line, or event."""
    block = piece * (65536 // len(piece) + 1)

    def send(call: Call) -> None:
        call.exchange.send(head(200, [("Content-Type", "text/event-stream")]))
        while True:
            call.exchange.send(block)

    return send


class Outbox:
    """What one open stream has still to send. Any thread may put in; it never waits."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._bell, self._ring = socket.socketpair()
        self._ring.setblocking(False)

    def put(self, item: Any) -> None:
        """Put in an epoch, bytes, :data:`END` or :data:`RESET`."""
        self._items.append(item)
        # A full socket has rung already; a closed one belongs to a stream that has ended.
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
