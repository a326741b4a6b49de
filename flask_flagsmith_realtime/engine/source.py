"""Sources of snapshots. An engine has one at a time.

Each source publishes in one thread of its own. :class:`FlagsmithSource` owns the refresher's and
the listener's thread; :class:`FileSource` has none and publishes where it is started. A source is
started once and stopped once: the next start makes a new one, as a forked child does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from ..client import API
from ..config import Config
from ..model import Snapshot
from ..monitoring import Activity
from ..processes import make_thread, start_thread
from .listener import Listener
from .mailbox import Mailbox, RefreshHint
from .publisher import Publisher
from .refresher import Refresher
from .schedule import Schedule

_JOIN_SECONDS = 0.4


class Source(Protocol):
    """Brings snapshots to a publisher."""

    @property
    def is_alive(self) -> bool:
        """``True`` while its threads run."""

    def start(self, publisher: Publisher) -> bool:
        """Starts the threads. Does not wait for the network.

        :returns: ``False`` if they cannot be started; then none of them runs.
        """

    def refresh(self, hint: RefreshHint) -> None:
        """Asks for fresh flags, as a webhook does. Any thread may call it, also before the
        start."""

    def stop(self) -> RefreshHint | None:
        """Makes the threads end, also where they wait for an answer. Does not wait for them.

        :returns: the hint that it has not served.
        """

    def join(self) -> None:
        """Waits briefly for the threads to end."""


#: Makes a source at each start of an engine. The threads report to the activity.
SourceFactory = Callable[[Activity], Source]


class FileSource:
    """Publishes one snapshot, and no other.

    :param snapshot: the snapshot of the offline file; ``None`` for an app under test, which serves
        defaults and overrides.
    """

    is_alive = False

    def __init__(self, snapshot: Snapshot | None) -> None:
        self._snapshot = snapshot

    def start(self, publisher: Publisher) -> bool:
        if self._snapshot is None:
            publisher.expect_nothing()
        else:
            publisher.publish(self._snapshot, fetched=False)
        return True

    def refresh(self, hint: RefreshHint) -> None:
        """Does nothing: a file does not change."""

    def stop(self) -> None:
        """Does nothing: there is no thread."""

    def join(self) -> None:
        """Does nothing: there is no thread."""


class FlagsmithSource:
    """Listens to Flagsmith's stream and fetches from its API: a process alone, or a leader.

    :param config: the app's settings.
    :param activity: where the threads report.
    :param delay: how long the first fetch waits, in seconds.
    """

    def __init__(self, config: Config, activity: Activity, delay: float = 0.0) -> None:
        self._config = config
        self._delay = delay
        self._mailbox = Mailbox()
        self._listener = Listener(config, self._mailbox, activity)
        self._api = API(config)
        schedule = Schedule(
            config.refresh_min_interval_seconds,
            config.environment_refresh_interval_seconds,
            config.live_refresh_interval_seconds,
            remote=not config.local_evaluation,
        )
        if delay:
            schedule.wait_until(time.monotonic() + delay)
        self._refresher = Refresher(self._mailbox, schedule, self._api, self._listener, activity)
        self._publisher: Publisher | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, publisher: Publisher) -> bool:
        thread = make_thread("flagsmith-refresher", self._refresher.run, publisher)
        if not start_thread(thread):
            return False
        self._publisher, self._thread = publisher, thread
        key = self._config.environment_key
        if not self._config.local_evaluation and not self._delay and key is not None:
            # The environment's id is known without an answer: it is the key.
            self._listener.start(key)
        return True

    def refresh(self, hint: RefreshHint) -> None:
        self._mailbox.hint(hint)

    def stop(self) -> RefreshHint | None:
        waiting, taken = self._mailbox.close(), self._refresher.open_hint
        hint = taken if waiting is None else waiting.merged_with(taken)
        if self._publisher is not None:
            self._publisher.close()
        self._listener.stop()
        self._api.interrupt()
        return hint

    def join(self) -> None:
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in (self._thread, self._listener.thread):
            if thread is not None and thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
