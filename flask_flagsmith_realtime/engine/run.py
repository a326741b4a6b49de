"""One run of an engine: the threads, from one start to one stop.

Which thread owns what:

- The *listener's* thread owns the stream's connection and puts epochs into the mailbox.
- The *refresher's* thread owns the schedule and the API's client; it publishes snapshots into the
  holder and sends the signals. It also starts the listener, once it knows the environment's id.
- The *fleet's* thread, if there is a Redis, says whether this process is the one to do so, and puts
  what lies in Redis into the mailbox. See :mod:`.fleet`.

At a stop the threads, which are daemons, are told to end, also where they wait for an answer, and
waited for briefly; one that is held up by a receiver of the app's is left behind.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from flask import Flask

from ..client import API
from ..config import Config
from ..fleet.election import FleetTimings
from ..monitoring import Activity
from ..processes import make_thread, start_thread
from ..storage import SnapshotFile
from .listening import Listening
from .mailbox import Mailbox
from .refresher import Refresher
from .schedule import Schedule
from .store import SnapshotStore

if TYPE_CHECKING:
    from ..fleet.member import FleetMember

_JOIN_SECONDS = 0.4


class Run:
    """The threads, from one start to one stop.

    :param app: the app, sender of the signals.
    :param config: its settings.
    :param holder: where readers find the snapshot.
    :param file: where the last good snapshot is kept, if anywhere.
    :param activity: where the threads write down what happens.
    :param pace: the times of the fleet, if there is one.
    """

    def __init__(
        self,
        app: Flask,
        config: Config,
        holder: SnapshotStore,
        file: SnapshotFile | None,
        activity: Activity,
        pace: FleetTimings,
    ) -> None:
        self._config = config
        self.mailbox = Mailbox()
        self.fleet = _make_fleet(config, self.mailbox, activity, pace)
        self._listening = Listening(config, self.mailbox, activity)
        self._api = API(config)
        schedule = Schedule(
            config.refresh_min_interval_seconds,
            config.environment_refresh_interval_seconds,
            config.live_refresh_interval_seconds,
        )
        self.refresher = Refresher(
            app,
            self.mailbox,
            schedule,
            self._api,
            holder,
            file,
            self._listening,
            activity,
            self.fleet,
        )
        self._threads = [make_thread("flagsmith-refresher", self.refresher.run)]
        if self.fleet is not None:
            self._threads.append(make_thread("flagsmith-fleet", self.fleet.run))

    def start(self) -> bool:
        """Start the refresher and the fleet; the listener too, if it is known what to listen to and
        that this process shall.

        :returns: whether that was possible. If it was not, none of them runs.
        """
        if not all(start_thread(thread) for thread in self._threads):
            self.stop()
            return False
        key = self._config.environment_key
        if self.fleet is None and not self._config.local_evaluation and key is not None:
            self._listening.start(key)
        return True

    @property
    def is_alive(self) -> bool:
        """Whether the refresher and the fleet still run."""
        return all(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Tell the threads to end, and give them a moment for it."""
        self.mailbox.close()
        self._listening.end()
        self._api.interrupt()
        if self.fleet is not None:
            self.fleet.stop()
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in (*self._threads, self._listening.thread):
            if thread is None or thread is threading.current_thread():
                continue
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))


def _make_fleet(
    config: Config, mailbox: Mailbox, activity: Activity, pace: FleetTimings
) -> FleetMember | None:
    if config.redis_url is None:
        return None
    # Not at the top: without a fleet the package redis need not be there.
    from ..fleet.member import FleetMember

    return FleetMember(config, mailbox, activity, pace)
