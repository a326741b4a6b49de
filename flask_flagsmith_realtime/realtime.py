"""The engine: keeps one app's flags fresh in one process. Starts the threads, forks, shuts down.

Which thread owns what:

- The *listener's* thread owns the stream's connection and puts epochs into the mailbox.
- The *refresher's* thread owns the schedule and the API's client; it publishes snapshots into the
  holder and sends the signals. It also starts the listener, once it knows the environment's id.
- *Request* threads read the holder, without a lock once the first snapshot is there.
- Whoever starts or stops an engine holds its lock meanwhile. Nobody waits on the network with it.

What a fork inherits: the snapshot, and nothing else. In the child, sockets of the parent are closed
(descriptors only), and lock, mailbox, holder and threads are made anew. The child goes on by itself
if its parent was running. Under uWSGI, which forks without telling Python, the master runs nothing
and :mod:`.uwsgi` starts the workers; a fork that nobody told of is found out at the next read of a
flag.

At shutdown the threads, which are daemons, are told to end and waited for briefly; a thread that
hangs in a call of the API is left behind.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref

from flask import Flask

from . import http, uwsgi
from .api import API
from .config import Config
from .holder import Holder
from .listener import Listener
from .mailbox import Mailbox
from .refresher import Refresher
from .schedule import Schedule
from .snapshot import Snapshot
from .snapshot_file import SnapshotFile

_JOIN_SECONDS = 0.4


class Realtime:
    """One app's engine.

    :param app: the app, sender of the signals.
    :param config: its settings.
    :param offline: the snapshot to serve for good, if there is to be no network at all.
    """

    _lock: threading.Lock
    _holder: Holder
    _file: SnapshotFile | None

    def __init__(self, app: Flask, config: Config, offline: Snapshot | None = None) -> None:
        self._app = app
        self._config = config
        self._offline = offline
        self._run: _Run | None = None
        self._stopped = False
        #: Whether somebody asked for it, rather than a setting: that counts under test, too.
        self._by_hand = False
        self._starts_in_child = False
        self._renew()
        _engines.add(self)

    def read(self) -> Snapshot | None:
        """The newest snapshot. Starts the engine if it is not running in this process.

        The first read waits for the first snapshot, see :meth:`Holder.wait`.
        """
        if _process != os.getpid():
            _after_fork()
        if self._app.testing and not self._by_hand:
            if self._run is not None:
                # It was started before anybody said that this is a test.
                self._end_run()
            return self._offline
        snapshot = self._holder.snapshot
        if self._run is None and not self._stopped:
            self.start()
        if snapshot is not None:
            return snapshot
        run = self._run
        if run is None or run.refresher.is_current_thread:
            return self._holder.take_what_there_is()
        return self._holder.wait(self._config.startup_timeout_seconds)

    def autostart(self) -> None:
        """Start because a setting says so: not under test, and in uWSGI's workers only."""
        if self._app.testing:
            return
        if uwsgi.is_master():
            self._starts_in_child = True
        else:
            self.start()

    def start_by_hand(self) -> None:
        """Start because somebody asks for it, also under test."""
        self._by_hand = True
        self.start()

    def start(self) -> None:
        """Start the threads, if they are not running. Does not wait for the network."""
        with self._lock:
            self._stopped = False
            if self._run is not None or self._offline is not None:
                return
            if self._holder.snapshot is None and self._file is not None:
                self._holder = Holder(reserve=self._file.read())
            self._run = _Run(self._app, self._config, self._holder, self._file)
            self._run.start()

    def stop(self) -> None:
        """End the threads. Flags stay readable as they are."""
        self._stopped = True
        self._end_run()

    def after_fork(self) -> None:
        """In a forked child: let go of the parent's things, and go on if the parent was running."""
        starts = self._run is not None or self._starts_in_child
        self._run = None
        self._starts_in_child = False
        self._renew(self._holder.snapshot)
        if not starts:
            return
        if _gevent_is_in_charge():
            # Threads are greenlets. They cannot be waited for yet: the loop is still the parent's.
            sys.modules["gevent"].spawn(self.start)
        else:
            self.start()

    def _renew(self, snapshot: Snapshot | None = None) -> None:
        """Make all that belongs to one process."""
        self._lock = threading.Lock()
        self._holder = Holder(snapshot if self._offline is None else self._offline)
        path, key = self._config.snapshot_file, self._config.environment_key
        self._file = SnapshotFile(path, key) if path is not None and key is not None else None

    def _end_run(self) -> None:
        with self._lock:
            run, self._run = self._run, None
        if run is not None:
            run.stop()


class _Run:
    """The threads, from one start to one stop."""

    def __init__(
        self, app: Flask, config: Config, holder: Holder, file: SnapshotFile | None
    ) -> None:
        self._config = config
        self._mailbox = Mailbox()
        self._listener = Listener(config, self._mailbox)
        schedule = Schedule(
            config.refresh_min_interval_seconds,
            config.environment_refresh_interval_seconds,
            config.live_refresh_interval_seconds,
        )
        self.refresher = Refresher(
            app, self._mailbox, schedule, API(config), holder, file, self._listen
        )
        self._threads = [_thread("flagsmith-refresher", self.refresher.run)]
        self._lock = threading.Lock()
        self._listening = False

    def start(self) -> None:
        """Start the refresher; the listener too, if it is known what to listen to."""
        self._threads[0].start()
        if not self._config.local_evaluation and self._config.environment_key is not None:
            self._listen(self._config.environment_key)

    def stop(self) -> None:
        """Tell the threads to end, and give them a moment for it."""
        self._mailbox.close()
        self._listener.stop()
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _listen(self, environment_id: str) -> None:
        """Start the listener, once."""
        with self._lock:
            if self._listening or not self._config.enable_realtime_updates:
                return
            self._listening = True
            thread = _thread("flagsmith-listener", self._listener.run, environment_id)
            self._threads.append(thread)
        thread.start()


def _thread(name: str, target: object, *args: object) -> threading.Thread:
    return threading.Thread(target=target, name=name, args=args, daemon=True)  # type: ignore[arg-type]


def _gevent_is_in_charge() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


_engines: weakref.WeakSet[Realtime] = weakref.WeakSet()
#: The process for which the engines are made.
_process = os.getpid()
_fork_lock = threading.Lock()


def _at_fork_in_child() -> None:
    global _fork_lock
    _fork_lock = threading.Lock()
    _after_fork()


def _after_fork() -> None:
    """Take over in a forked child. Does nothing where that has been done."""
    global _process
    with _fork_lock:
        if _process == os.getpid():
            return
        http.close_inherited_sockets()
        for engine in list(_engines):
            engine.after_fork()
        _process = os.getpid()


def _at_exit() -> None:
    for engine in list(_engines):
        engine.stop()


os.register_at_fork(after_in_child=_at_fork_in_child)
uwsgi.register_after_fork(_after_fork)
atexit.register(_at_exit)
