"""Server-sent events: turns the bytes of a stream into events. Pure: no I/O, no Flagsmith.

Two steps. :func:`event_blocks` splits the bytes into whole events, bounded and without waiting for
a byte that it does not need; sseclient-py parses the fields of each. sseclient-py alone would keep
an endless line in memory, deliver an event that ends with CR one byte late, and dispatch an event
that the end of the stream cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import sseclient

_LARGEST_EVENT_BYTES = 1024 * 1024
_LONGEST_RETRY_DIGITS = 12
_BOM = b"\xef\xbb\xbf"


class SSEProtocolError(Exception):
    """The bytes are not a valid event stream. The message completes the sentence 'it sent …'."""


class ServerSentEvent(msgspec.Struct, frozen=True):
    """One event.

    :param name: its ``event:`` field; ``message`` if it has none.
    :param data: its ``data:`` lines, joined by LF.
    :param retry_seconds: its ``retry:`` field, in seconds; ``None`` if it has no valid one.
    """

    name: str
    data: str
    retry_seconds: float | None


def read_events(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """Parses a stream of bytes. Each event is returned as soon as its last byte is there.

    :param chunks: the bytes, split anywhere.
    :raises SSEProtocolError: if an event is larger than 1 MiB or is not UTF-8.
    """
    try:
        for event in sseclient.SSEClient(event_blocks(chunks)).events():
            yield ServerSentEvent(event.event, event.data, _retry_seconds(event.retry))
    except UnicodeDecodeError:
        raise SSEProtocolError("bytes that are not UTF-8") from None


def event_blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Splits a stream of bytes into whole events, each ended by an empty line.

    Follows 'interpreting an event stream' of the HTML standard: lines end with LF, CR or CRLF, in
    any mixture and split between chunks anywhere; one byte order mark may come first; bytes after
    the last empty line are dropped. The blocks have LF line ends and no comments.

    :raises SSEProtocolError: if a line or an event is larger than 1 MiB.
    """
    block = bytearray()
    line = bytearray()
    is_first_line = True
    after_cr = False
    for chunk in chunks:
        # A CR ends its line at once; an LF that follows belongs to that CR.
        if after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            after_cr = False
        for piece in chunk.splitlines(keepends=True):
            after_cr = False
            ending = piece[-1:]
            line += piece.rstrip(b"\r\n")
            if len(block) + len(line) > _LARGEST_EVENT_BYTES:
                raise SSEProtocolError("an event larger than 1 MiB")
            if ending not in (b"\r", b"\n"):
                continue
            after_cr = ending == b"\r"
            if is_first_line:
                is_first_line = False
                if line.startswith(_BOM):
                    del line[: len(_BOM)]
            if line:
                # Comments keep a connection alive; they are not part of an event.
                if not line.startswith(b":"):
                    block += line + b"\n"
                line.clear()
            elif block:
                yield bytes(block) + b"\n"
                block.clear()


def _retry_seconds(retry: str | None) -> float | None:
    """Converts a ``retry:`` field, which is in whole milliseconds; other values are ignored."""
    if retry is None or not (retry.isascii() and retry.isdigit()):
        return None
    return int(retry) / 1000 if len(retry) <= _LONGEST_RETRY_DIGITS else None
