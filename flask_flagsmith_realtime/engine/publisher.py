"""The publisher: the only place where a snapshot becomes visible.

A source publishes in its own thread, through a publisher of its own, which is closed when the
source is stopped: a thread that ends late cannot publish over its successor. The publishers of an
engine share one store, dispatcher and lock. The order of a publication: readers first, then those
that wait for a change, then the signals (which the dispatcher sends in its own thread), then the
other processes of a fleet and the file, then the log. So neither a receiver nor Redis, a disk or a
log handler holds up the flags.

A forked child makes new ones.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Protocol

from .. import logs, signals
from ..exceptions import FetchError
from ..logs import BackgroundLogger
from ..model import FlagChange, Snapshot, diff
from ..storage import SnapshotFile
from .dispatcher import Dispatcher
from .store import SnapshotStore

logger = BackgroundLogger(logging.getLogger(__name__))


class Sink(Protocol):
    """Shares fetched snapshots with the other processes of a fleet."""

    def share(self, snapshot: Snapshot, replaced: float | None) -> None:
        """Takes a fetched snapshot, and the newer epoch that it replaces on purpose."""

    def failed(self) -> None:
        """Takes note of a failed fetch."""


class Publisher:
    """Publishes the snapshots of one source.

    :param file: keeps the last good snapshot.
    :param sink: shares what this source fetches, in a fleet.
    :param lock: shared by the publishers of one engine: one of them publishes at a time.
    """

    def __init__(
        self,
        store: SnapshotStore,
        dispatcher: Dispatcher,
        file: SnapshotFile | None = None,
        sink: Sink | None = None,
        lock: threading.Lock | None = None,
    ) -> None:
        self._store = store
        self._file = file
        self._sink = sink
        self._lock = lock or threading.Lock()
        self._closed = False
        self.dispatcher = dispatcher

    @property
    def held(self) -> Snapshot | None:
        """The snapshot that readers are served."""
        return self._store.snapshot

    @property
    def environment_id(self) -> str | None:
        """The environment to which every snapshot has to belong, once one is known."""
        return self._store.environment_id

    def successor(self, sink: Sink | None = None) -> Publisher:
        """Returns a publisher for the next source of the same engine, closed if this one is."""
        made = Publisher(self._store, self.dispatcher, self._file, sink, self._lock)
        made._closed = self._closed
        return made

    def close(self) -> None:
        """Refuses everything from now on: the source was stopped."""
        with self._lock:
            self._closed = True

    def expect_nothing(self) -> None:
        """Ends the wait of readers: this source has no snapshot."""
        self._store.expect_nothing()

    def publish(
        self, snapshot: Snapshot, *, fetched: bool, replaced: float | None = None
    ) -> Mapping[str, FlagChange] | None:
        """Makes a snapshot visible.

        :param fetched: ``True`` if this process fetched it from Flagsmith.
        :param replaced: the newer epoch that it replaces on purpose, if it does.
        :returns: the changes by feature name; ``None`` for the first snapshot of a process, which
            is no change.
        """
        with self._lock:
            if self._closed:
                return {}
            previous, served_nothing = self._store.publish(snapshot)
            changes = None
            if previous is not None or served_nothing:
                changes = diff(previous, snapshot)
            if changes or previous is None or _is_news(previous, snapshot):
                self._store.announce()
            self.dispatcher.send(signals.snapshot_refreshed, snapshot=snapshot)
            if changes:
                self.dispatcher.send(
                    signals.flags_changed,
                    changes=changes,
                    snapshot=snapshot,
                    previous=previous,
                    leader=fetched,
                )
        if fetched and self._sink is not None:
            self._sink.share(snapshot, replaced)
        if self._file is not None:
            self._file.write(snapshot)
        if changes:
            names = sorted(changes)
            logger.info(
                "Flags changed: %s.",
                ", ".join(names),
                extra=logs.fields("flags_changed", features=names, epoch=snapshot.epoch),
            )
        return changes

    def failed(self, error: FetchError) -> Snapshot | None:
        """Takes note of a failed fetch: the fallback serves if there is no snapshot.

        :returns: the snapshot that serves from now on.
        """
        serving = self._store.fall_back()
        self.dispatcher.send(signals.refresh_failed, error=error)
        if self._sink is not None:
            self._sink.failed()
        return serving


def _is_news(previous: Snapshot, snapshot: Snapshot) -> bool:
    """Returns ``True`` if the flags of some identity may have changed, although the environment's
    have not: in remote evaluation a segment's rule shows nowhere else."""
    return previous.epoch != snapshot.epoch or previous.announced != snapshot.announced
