"""The snapshot file: the last good flags, for a start while Flagsmith cannot be reached.

Writes are atomic, so the file is whole even if a process dies, and several processes may write it.
A failure is logged once for each cause and stops nothing: the file is a fallback.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import tempfile
import time
from pathlib import Path

from .. import logs
from ..exceptions import ConfigError, InvalidDocumentError
from ..logs import BackgroundLogger, OncePerCause
from ..model import Snapshot
from .archive import MAX_ARCHIVE_BYTES, pack, unpack
from .files import read_regular_file

logger = BackgroundLogger(logging.getLogger(__name__))

REJECTED_SUFFIX = ".rejected"

#: A temporary file this old belongs to a process that was killed while it wrote.
_LEFT_BEHIND_SECONDS = 3600.0


class SnapshotFile:
    """The file with one environment's last good flags.

    :param path: the file, ``FLAGSMITH_SNAPSHOT_FILE``.
    :param environment_key: the key of the environment. It is not written.
    :raises ConfigError: if something else than a regular file is at that path.
    """

    def __init__(self, path: str, environment_key: str) -> None:
        self._path = Path(path)
        if self._path.exists() and not self._path.is_file():
            raise ConfigError(
                "FLAGSMITH_SNAPSHOT_FILE must name a regular file, or one that does not exist yet; "
                f"{path} is a directory, a FIFO or a device."
            )
        self._temporary_prefix = f".{self._path.name}."
        self._environment_key = environment_key
        self._failures = OncePerCause(
            logger, "snapshot_file", f"FLAGSMITH_SNAPSHOT_FILE {path} is written again."
        )

    def read(self) -> Snapshot | None:
        """Returns the last snapshot that this process or an earlier one wrote, if it can be used.

        A file that is damaged, or another environment's, is renamed with :data:`REJECTED_SUFFIX`,
        for an inspection.
        """
        self._clear_up()
        try:
            data = read_regular_file(self._path, MAX_ARCHIVE_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning(
                "FLAGSMITH_SNAPSHOT_FILE %s cannot be read (%s); flags start without it.",
                self._path,
                error.strerror,
                extra=logs.fields("snapshot_file_unreadable"),
            )
            return None
        try:
            return unpack(data, self._environment_key)
        except InvalidDocumentError as error:
            self._set_aside(error)
            return None

    def write(self, snapshot: Snapshot) -> None:
        """Replaces the file with a snapshot, durably. A failure is logged, not raised."""
        try:
            self._replace(pack(snapshot, self._environment_key))
        except OSError as error:
            problem = (
                f"cannot be written ({error.strerror}). Its directory has to exist, with room, and "
                "be writable for this process."
            )
        except ValueError as error:
            problem = f"was not written: {error}."
        else:
            self._failures.recovered()
            return
        self._failures.problem(
            f"FLAGSMITH_SNAPSHOT_FILE {self._path} {problem} Flags go on without it."
        )

    def _replace(self, data: bytes) -> None:
        # The temporary file is made with mode 0600, which the file keeps.
        descriptor, temporary = tempfile.mkstemp(".tmp", self._temporary_prefix, self._path.parent)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def _clear_up(self) -> None:
        """Removes the temporary files of processes that were killed while they wrote."""
        with contextlib.suppress(OSError):
            for temporary in self._path.parent.glob(f"{glob.escape(self._temporary_prefix)}*.tmp"):
                if temporary.stat().st_mtime < time.time() - _LEFT_BEHIND_SECONDS:
                    temporary.unlink()

    def _set_aside(self, reason: InvalidDocumentError) -> None:
        rejected = self._path.with_name(self._path.name + REJECTED_SUFFIX)
        try:
            os.replace(self._path, rejected)
            outcome = f"It is kept as {rejected}."
        except OSError as error:
            outcome = f"It could not be moved aside ({error.strerror})."
        logger.warning(
            "FLAGSMITH_SNAPSHOT_FILE %s is not usable: %s. %s Flags start without it.",
            self._path,
            reason,
            outcome,
            extra=logs.fields("snapshot_file_rejected"),
        )
