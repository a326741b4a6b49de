"""The flags that a fleet shares through Redis, as one process knows them.

The fleet's, the follower's and the refresher's thread use it. They assign to
:attr:`SharedFlags.known` without a lock: at worst, flags are read once more than needed.
"""

from __future__ import annotations

import logging

from .. import logs
from ..logs import BackgroundLogger
from ..model import Snapshot
from ..monitoring import Activity
from .election import Step, compare
from .redis_store import DamagedError, RedisStore, Stored, StoreError, new_version

logger = BackgroundLogger(logging.getLogger(__name__))


class SharedFlags:
    """Reads and writes the shared flags."""

    def __init__(self, store: RedisStore, activity: Activity) -> None:
        self._store = store
        self._activity = activity
        #: The version that this process has read or written last.
        self.known: str | None = None
        #: The errors of the writes since the last one that succeeded.
        self.failed_writes: list[str] = []
        #: The errors of the follower's reads since the last one that succeeded.
        self.failed_reads: list[str] = []

    def forget(self) -> None:
        """Drops what is known: this process has to compare its flags when it joins again."""
        self.known = None
        self.failed_reads.clear()
        self.failed_writes.clear()

    def read(
        self, held: Snapshot | None, environment_id: str | None, *, replaces_damage: bool
    ) -> Stored | None:
        """Reads the shared flags.

        :param held: see :meth:`.RedisStore.read`, like ``environment_id``.
        :param replaces_damage: ``True`` for the leader: it removes flags that cannot be used.
            Others report them to the leader; their version of this package may be too old.
        :raises StoreError: if Redis or the flags cannot be used.
        """
        try:
            stored = self._store.read(held, environment_id)
        except DamagedError as error:
            if not replaces_damage:
                self._store.report_corruption()
                raise
            self._store.discard(error.version)
            stored = None
            logger.warning(
                "In the Redis at %s, %s. This process leads, and replaces it.",
                self._store.redacted_url,
                error,
                extra=logs.fields("fleet_flags_replaced"),
            )
        self.known = None if stored is None else stored.version
        self.failed_reads.clear()
        return stored

    def read_failed(self, reason: str) -> None:
        """Notes that a follower could not read: its flags may be out of date."""
        self.failed_reads.append(reason)
        # Of a traceback, the last line: the status is no log.
        summary = reason.splitlines()[-1]
        self._activity.failed(f"The flags in Redis could not be read: {summary}")

    def reconcile(
        self, held: Snapshot | None, stored: Stored | None, *, leads: bool
    ) -> Snapshot | None:
        """Compares the flags that this process holds with the shared ones. Writes the held ones if
        they are the right ones.

        :param leads: ``True`` for the leader, whose flags count where epochs do not decide.
        :returns: the shared snapshot if it has to be published.
        """
        if stored is None:
            if leads and held is not None:
                self.write(held)
            return None
        found, step = stored.snapshot, Step.TAKE
        if held is not None:
            same = held.content_digest == found.content_digest
            step = compare(
                held.epoch, found.epoch, same=same, leads=leads, replaced=stored.replaced
            )
            if step is Step.STORE:
                self.write(held)
                return None
        self._activity.answered()
        return found if step is Step.TAKE else None

    def write(self, snapshot: Snapshot, replaced: float | None = None) -> None:
        """Writes flags for all processes, unless newer ones are shared already.

        :param replaced: the newer epoch that they replace on purpose, if they do.
        """
        version = new_version()
        # Known before the message arrives: a process need not read what it wrote itself.
        self.known = version
        try:
            self.known = self._store.write(snapshot, version, replaced)
        except StoreError as error:
            # The next heartbeat finds another version than the known one, and tries again.
            self.known = None
            self.failed_writes.append(str(error))
            logger.debug(
                "Flags could not be stored in Redis: %s.",
                error,
                extra=logs.fields("fleet_store_failed"),
            )
        else:
            self.failed_writes.clear()
