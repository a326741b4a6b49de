"""The holder: where readers find the newest snapshot.

:attr:`SnapshotStore.snapshot` is replaced by one assignment and read without a lock. The lock is
only for what happens once in a process: the wait for the first snapshot. The refresher's thread
publishes, any thread reads. A forked child makes a new store around the snapshot that it inherits.
"""

from __future__ import annotations

import threading
import time

from ..model import Snapshot


class SnapshotStore:
    """Holds one app's newest snapshot in one process.

    :param snapshot: what is known already, if anything is.
    :param reserve: an older snapshot, from a file, for the time until Flagsmith can be reached.
    """

    def __init__(self, snapshot: Snapshot | None = None, reserve: Snapshot | None = None) -> None:
        self.snapshot = snapshot
        self._reserve = reserve
        self._lock = threading.Lock()
        self._arrived = threading.Event()
        self._deadline: float | None = None
        self._served_nothing = False

    def wait(self, seconds: float) -> Snapshot | None:
        """The newest snapshot. While there is none, wait for the first one: once in a process.

        All who come within that time wait for the rest of it; afterwards nobody waits any more.

        :param seconds: how long to wait at most, counted from the first call.
        :returns: the snapshot, else the reserve, else ``None``.
        """
        with self._lock:
            if self._deadline is None:
                self._deadline = time.monotonic() + seconds
            left = self._deadline - time.monotonic()
        if left > 0:
            self._arrived.wait(left)
        return self.get_or_fallback()

    def expect(self) -> None:
        """Somebody will publish: a first snapshot is worth waiting for."""
        if self.snapshot is None:
            self._arrived.clear()

    def expect_nothing(self) -> None:
        """Nobody will publish any more: who waits shall not."""
        self._arrived.set()

    def get_or_fallback(self) -> Snapshot | None:
        """The newest snapshot, else the reserve, which then is the newest, else ``None``."""
        with self._lock:
            if self.snapshot is None:
                self.snapshot = self._reserve
                self._served_nothing = self._reserve is None
            return self.snapshot

    def fall_back(self) -> Snapshot | None:
        """Flagsmith cannot be reached: serve the reserve, if it is needed and there is one.

        :returns: what is served from now on.
        """
        with self._lock:
            if self.snapshot is None and self._reserve is not None:
                self.snapshot = self._reserve
                self._arrived.set()
            return self.snapshot

    def publish(self, snapshot: Snapshot) -> tuple[Snapshot | None, bool]:
        """Serve a new snapshot from now on.

        :returns: the snapshot before, and whether readers were served without any.
        """
        with self._lock:
            previous, self.snapshot = self.snapshot, snapshot
            served_nothing, self._served_nothing = self._served_nothing, False
            self._reserve = None
        self._arrived.set()
        return previous, served_nothing
