"""Flags in files: the archive format, the snapshot file and the offline file."""

from __future__ import annotations

from .archive import MAX_ARCHIVE_BYTES, pack, unpack
from .files import read_regular_file
from .offline_file import read_offline_file
from .snapshot_file import SnapshotFile

__all__ = [
    "MAX_ARCHIVE_BYTES",
    "SnapshotFile",
    "pack",
    "read_offline_file",
    "read_regular_file",
    "unpack",
]
