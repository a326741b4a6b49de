"""Puts the body of an answer together from the pieces that arrive. Pure."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import Any

#: Smaller bodies need no memory of their own from the system.
_LARGE_BYTES = 1024 * 1024


def join_pieces(pieces: Iterator[bytes], most_bytes: int, known: bytes = b"") -> bytes:
    """Returns the pieces as one body.

    :param pieces: none of them is empty.
    :param most_bytes: of a longer body, part is returned, which is longer than this, too.
    :param known: an earlier body. If the new one is the same, it is returned itself, and the new
        one takes no memory.
    """
    size = 0
    for piece in pieces:
        if not known.startswith(piece, size):
            break
        size += len(piece)
    else:
        piece = b""
        if size == len(known):
            return known
    first: list[bytes | memoryview] = [memoryview(known)[:size], piece]
    while piece and size < _LARGE_BYTES:
        size += len(piece)
        first.append(piece := next(pieces, b""))
    if not piece and size < _LARGE_BYTES:
        return b"".join(first)
    # As much memory as any body may need, of which the system gets back at once what is not used.
    # It is so large that glibc gives the rest back when the body is freed; of a smaller piece it
    # would keep that for the next body.
    body = _Pieces(filter(None, itertools.chain(first, pieces)))
    return io.BufferedReader(body).read(most_bytes + 1)


class _Pieces(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes | memoryview]) -> None:
        self._pieces = pieces
        self._rest: bytes | memoryview = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._rest or next(self._pieces, b"")
        self._rest = piece[len(buffer) :]
        size = min(len(piece), len(buffer))
        buffer[:size] = piece[:size]
        return size
