"""Puts the body of an answer together from the pieces that arrive. Pure."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import Any


def join_pieces(pieces: Iterator[bytes], most_bytes: int, known: bytes = b"") -> bytes:
    """Returns the pieces as one body.

    :param pieces: none of them is empty.
    :param most_bytes: a longer body is cut, and longer than this nevertheless.
    :param known: an earlier body. If the new one is the same, it is returned itself, and the new
        one takes no memory.
    """
    begin = 0
    for piece in pieces:
        if not known.startswith(piece, begin):
            break
        begin += len(piece)
    else:
        piece = b""
        if begin == len(known):
            return known
    same: memoryview | bytes = memoryview(known)[:begin]
    different = itertools.chain([same, piece], pieces)
    # As much memory as any body may need, of which the system gets back at once what is not used.
    # It is so large that glibc gives the rest back when the body is freed; of a smaller piece it
    # would keep that for the next body.
    return io.BufferedReader(_Pieces(filter(None, different))).read(most_bytes + 1)


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
