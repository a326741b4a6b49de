"""Sources of snapshots. An engine has one at a time.

A source publishes in one thread of its own; :class:`FileSource` has none and publishes where it is
started. A source is started once and stopped once: the next start makes a new one, as a forked
child does.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import msgspec

from ..model import Snapshot
from ..monitoring import Activity
from ..processes import join_briefly, start_thread
from .publisher import Publisher


class RefreshHint(msgspec.Struct, frozen=True):
    """A request for fresh flags from outside the stream, such as a webhook.

    :param moment: the time of the change that the webhook names, in seconds since 1970. It is not
        an epoch. ``None`` if no answer's epoch can prove that the change is in it.
    """

    moment: float | None = None

    def merged_with(self, earlier: RefreshHint | None) -> RefreshHint:
        """Returns one hint for this one and an earlier one: the newest moment counts."""
        moments = [self.moment, None if earlier is None else earlier.moment]
        return RefreshHint(max((moment for moment in moments if moment is not None), default=None))


class Source:
    """Brings snapshots to a publisher."""

    _thread_name: str
    _publisher: Publisher
    _process: int
    _thread: threading.Thread | None = None

    @property
    def is_alive(self) -> bool:
        """``True`` while its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, publisher: Publisher) -> bool:
        """Starts the thread. Does not wait for the network.

        :returns: ``False`` if it cannot be started.
        """
        self._publisher = publisher
        self._process = os.getpid()
        self._thread = start_thread(self._thread_name, self._run)
        return self._thread is not None

    def refresh(self, hint: RefreshHint) -> None:
        """Asks for fresh flags, as a webhook does. Any thread may call it, also before the
        start."""

    def stop(self) -> RefreshHint | None:
        """Makes the thread end, also where it waits for an answer. Does not wait for it.

        :returns: the hint that it has not served.
        """
        return None

    def join(self) -> None:
        """Waits briefly for the thread to end."""
        join_briefly(self._thread)

    def _run(self) -> None:
        """Fetches and publishes: the thread's work. It ends if :attr:`_is_copy`."""

    @property
    def _is_copy(self) -> bool:
        """``True`` in a greenlet that gevent has copied into a forked child."""
        return self._process != os.getpid()


#: Makes a source at each start of an engine. The threads report to the activity.
SourceFactory = Callable[[Activity], Source]


class FileSource(Source):
    """Publishes one snapshot, and no other.

    :param snapshot: the snapshot of the offline file; ``None`` for an app under test, which serves
        defaults and overrides.
    """

    def __init__(self, snapshot: Snapshot | None) -> None:
        self._snapshot = snapshot

    def start(self, publisher: Publisher) -> bool:
        if self._snapshot is None:
            publisher.expect_nothing()
        else:
            publisher.publish(self._snapshot, fetched=False)
        return True
