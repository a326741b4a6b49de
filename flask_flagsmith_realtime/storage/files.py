"""Bounded reading of a file that the app's config names."""

from __future__ import annotations

import stat
from pathlib import Path


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """Reads a file as a whole.

    :raises OSError: if it cannot be read, is larger, or is not a regular file: a FIFO or a device
        can block forever, and deliver without end.
    """
    kind = path.stat().st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise OSError(None, "Not a regular file")
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OSError(None, f"It is larger than {max_bytes // 2**20} MiB")
    return data
