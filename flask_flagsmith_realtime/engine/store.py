"""The snapshot store: holds the newest snapshot for readers.

The publisher writes :attr:`SnapshotStore.snapshot` by one assignment; any thread reads it without a
lock. The lock protects only the wait for the first snapshot, which happens once in a process. A
forked child makes a new store around the snapshot that it inherits.

Threads that wait for changes, such as the event streams of browsers, wait on a condition of their
own. A change is an object that is compared with ``is``, so a store that replaces another one counts
as a change. No waiting thread holds up the publisher.
"""

from __future__ import annotations

import threading
import time

from ..model import Snapshot


class SnapshotStore:
    """Holds one app's newest snapshot in one process.

    :param snapshot: the snapshot to begin with, if there is one.
    """

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self.snapshot = snapshot
        #: An older snapshot, from a file, that serves while Flagsmith cannot be reached.
        self.fallback: Snapshot | None = None
        self._lock = threading.Lock()
        self._arrived = threading.Event()
        self._deadline: float | None = None
        self._served_nothing = False
        self._changed = threading.Condition()
        self._change = object()

    @property
    def environment_id(self) -> str | None:
        """The environment of the snapshot, or else of the fallback."""
        known = self.snapshot or self.fallback
        return None if known is None else known.environment_id

    def wait(self, seconds: float) -> Snapshot | None:
        """Waits for the first snapshot, until so many seconds after the first call.

        :returns: the snapshot, else the fallback, else ``None``.
        """
        with self._lock:
            if self._deadline is None:
                self._deadline = time.monotonic() + seconds
            left = self._deadline - time.monotonic()
        if left > 0:
            self._arrived.wait(left)
        return self.get_or_fallback()

    def expect(self) -> None:
        """Makes readers wait for a first snapshot, which a source is about to bring."""
        if self.snapshot is None:
            self._arrived.clear()

    def expect_nothing(self) -> None:
        """Ends the wait of readers: no snapshot will come."""
        self._arrived.set()

    def get_or_fallback(self) -> Snapshot | None:
        """Returns the newest snapshot, else the fallback, which then is the newest."""
        with self._lock:
            if self.snapshot is None:
                self.snapshot = self.fallback
                self._served_nothing = self.fallback is None
            return self.snapshot

    def fall_back(self) -> Snapshot | None:
        """Serves the fallback if there is no snapshot: Flagsmith cannot be reached.

        :returns: the snapshot that serves from now on.
        """
        with self._lock:
            if self.snapshot is None and self.fallback is not None:
                self.snapshot = self.fallback
                self._arrived.set()
            return self.snapshot

    def publish(self, snapshot: Snapshot) -> tuple[Snapshot | None, bool]:
        """Serves a new snapshot from now on.

        :returns: the previous snapshot, and ``True`` if readers were served without any.
        """
        with self._lock:
            previous, self.snapshot = self.snapshot, snapshot
            served_nothing, self._served_nothing = self._served_nothing, False
            self.fallback = None
        self._arrived.set()
        return previous, served_nothing

    def announce(self) -> None:
        """Ends the waits for a change: a published snapshot differs from the one before."""
        with self._changed:
            self._change = object()
            self._changed.notify_all()

    def wait_for_change(self, known: object, seconds: float) -> object:
        """Waits until the last change is not ``known``, at most so many seconds, and returns it."""
        with self._changed:
            self._changed.wait_for(lambda: self._change is not known, seconds)
            return self._change
