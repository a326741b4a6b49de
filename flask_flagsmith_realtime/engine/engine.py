"""The engine: starts, stops and forks one app's source in one process.

Which thread owns what:

- *Request* threads read the snapshot store, without a lock once the first snapshot is there.
- The *source's* threads fetch and publish, see :mod:`.source`. The *dispatcher's* thread sends the
  signals, see :mod:`.dispatcher`.
- A thread that starts or stops an engine holds the engine's lock meanwhile; no thread waits for the
  network with it.

A forked child inherits the snapshot and nothing else: lock, store, publisher and source are made
again there, and the source starts by itself if the parent's was running. Under uWSGI the master,
which only loads the app, runs nothing. :mod:`..processes` calls the engine at forks and at the end
of the process.

An app that is not used any more is freed: the threads hold it weakly, and they end when it is gone.
"""

from __future__ import annotations

import _thread
import threading
import weakref

from flask import Flask

from ..client import API
from ..config import Config
from ..exceptions import ConfigError, FetchError
from ..model import Snapshot
from ..monitoring import Activity, Now, Status, make_status
from ..processes import (
    after_fork,
    greenlets_are_threads,
    greenlets_will_be_threads,
    is_forked,
    is_preloading_master,
    register_engine,
    spawn_greenlet,
    watch_gevent,
)
from ..storage import SnapshotFile
from .dispatcher import Dispatcher
from .publisher import Publisher
from .source import FileSource, RefreshHint, Source, SourceFactory
from .store import SnapshotStore


class Engine:
    """Keeps one app's flags fresh.

    :param make_source: makes the source at each start.
    """

    _lock: threading.Lock
    _activity: Activity
    _store: SnapshotStore

    def __init__(self, app: Flask, config: Config, make_source: SourceFactory) -> None:
        self._app = weakref.ref(app)
        #: Read instead of app.testing, a property that costs several times as much.
        self._app_config = app.config
        self._config = config
        self._make_source = make_source
        self._file: SnapshotFile | None = None
        if config.snapshot_file and config.environment_key and config.offline_file is None:
            self._file = SnapshotFile(config.snapshot_file, config.environment_key)
        self._source: Source | None = None
        self._dispatcher: Dispatcher | None = None
        #: The cleanup of the running source, for an app that is freed without a stop.
        self._finalizer: weakref.finalize[..., Flask] | None = None
        #: Stopped by a call of stop(): only start_by_hand() undoes that.
        self._stopped = False
        #: Started by a call of start_by_hand(): that works under test, too.
        self._by_hand = False
        #: Starts in reset_after_fork(), although it does not run now.
        self._resumes = False
        #: The value of TESTING for which the store and the source were made.
        self._testing = bool(app.config["TESTING"])
        self._reset()
        register_engine(self)

    def read(self) -> Snapshot | None:
        """Returns the newest snapshot. Starts the source if it does not run in this process.

        The first read waits for the first snapshot, see :meth:`.SnapshotStore.wait`.
        """
        if is_forked():
            after_fork()
        if self._app_config["TESTING"] is not self._testing and not self._by_hand:
            self._switch_mode()
        snapshot = self._store.snapshot
        if self._source is None and not self._stopped:
            self.start()
            snapshot = self._store.snapshot
        if snapshot is not None:
            return snapshot
        if self._source is None:
            return self._store.get_or_fallback()
        return self._store.wait(self._config.startup_timeout_seconds)

    def wait_for_change(self, known: object, seconds: float) -> object | None:
        """Waits until this process holds a snapshot that differs from the one before.

        :param known: the result of an earlier call; ``None`` returns at once.
        :param seconds: the longest wait.
        :returns: the last change, an object to compare with ``is``: ``known`` if there was none in
            this time; ``None`` if the app stopped the engine.
        """
        change = known if self._stopped else self._store.wait_for_change(known, seconds)
        return None if self._stopped else change

    def end_waits(self) -> None:
        """Makes each :meth:`wait_for_change` return, as after a change."""
        self._store.announce()

    def status(self) -> Status:
        """Returns the status of the flags. Starts nothing and waits for nothing."""
        source = self._source
        return make_status(
            self._config,
            self._store.snapshot,
            self._activity,
            Now(),
            running=source is not None and source.is_alive and not is_forked(),
            offline=self._under_test or self._config.offline_file is not None,
        )

    def refresh(self, hint: RefreshHint) -> None:
        """Asks for fresh flags, as a webhook does. Starts the source if it does not run."""
        if is_forked():
            after_fork()
        if self._source is None and not self._stopped and not self._under_test:
            self.start()
        source = self._source
        if source is not None:
            source.refresh(hint)

    def autostart(self) -> None:
        """Starts because of a setting: not under test, nor in a master that preloads."""
        if self._under_test:
            return
        if is_preloading_master():
            self._resumes = True
        else:
            self.start()

    def start_by_hand(self, make_source: SourceFactory | None = None) -> None:
        """Starts because the app asks for it, also under test.

        :param make_source: makes the source instead of the app's own factory, from now on.
        :raises ConfigError: if there is no key, which an app under test need not have.
        """
        if self._config.environment_key is None and self._config.offline_file is None:
            raise ConfigError(
                "FLAGSMITH_ENVIRONMENT_KEY is missing. An app under test needs none, unless it "
                "follows Flagsmith all the same: set it, and FLAGSMITH_API_URL, before init_app."
            )
        if make_source is not None:
            self._make_source = make_source
        if self._under_test or make_source is not None:
            self._end_source()
        self._by_hand = True
        self._stopped = False
        self.start()

    def start(self) -> None:
        """Starts the source, unless it runs or the app stopped it. Does not wait for the network.
        If no thread can be started, the next read of a flag tries again."""
        app = self._app()
        if app is None:
            return
        with self._lock:
            # Checked under the lock: a stop may have come meanwhile.
            if self._stopped or self._source is not None:
                return
            if self._store.snapshot is None and self._file is not None:
                self._store.fallback = self._file.read()
            self._store.expect()
            watch_gevent()
            source = self._new_source()
            dispatcher = Dispatcher(app, self._activity)
            if not source.start(Publisher(self._store, dispatcher, self._file)):
                self._store.expect_nothing()
                return
            self._source, self._dispatcher = source, dispatcher
            self._finalizer = weakref.finalize(app, _stop_detached, source)
            self._finalizer.atexit = False

    def read_once(self) -> FetchError | None:
        """Fetches in the caller's thread and starts nothing, also at the reads that follow: for a
        command that reads flags and ends. Does nothing if the source runs.

        :returns: the reason why Flagsmith could not be asked. Then the last good snapshot serves,
            if a file has it.
        """
        if self._source is not None or self._under_test or self._config.offline_file is not None:
            return None
        self._stopped = True
        api = API(self._config)
        try:
            self._store.publish(api.fetch())
        except FetchError as error:
            if self._file is not None:
                self._store.fallback = self._file.read()
            return error
        finally:
            api.close()
        return None

    def stop(self) -> None:
        """Stops the source until :meth:`start_by_hand`. Flags stay readable as they are."""
        self._stopped = True
        self._end_source()
        self.end_waits()

    def pause(self) -> None:
        """Stops the source until :meth:`reset_after_fork`."""
        self._resumes = self._resumes or self._source is not None
        self._end_source()

    def reset_after_fork(self) -> None:
        """Makes threads and locks again, in a forked child or after gevent has patched them. Starts
        if the source was running or waiting to start."""
        resumes = self._source is not None or self._resumes
        if self._finalizer is not None:
            self._finalizer.detach()
        self._source = self._dispatcher = self._finalizer = None
        self._reset(self._store.snapshot)
        self._resumes = resumes
        if not resumes or greenlets_will_be_threads():
            return
        self._resumes = False
        if greenlets_are_threads():
            # They cannot be waited for yet: the loop may still be the parent's.
            spawn_greenlet(self.start)
        else:
            self.start()

    @property
    def _under_test(self) -> bool:
        return bool(self._app_config["TESTING"]) and not self._by_hand

    def _new_source(self) -> Source:
        if self._under_test and self._config.offline_file is None:
            return FileSource(None)
        return self._make_source(self._activity)

    def _switch_mode(self) -> None:
        """TESTING was changed after the start: the snapshot of the other mode must not serve."""
        self._testing = self._app_config["TESTING"]
        self._end_source(SnapshotStore())

    def _reset(self, snapshot: Snapshot | None = None) -> None:
        """Makes everything that belongs to one process."""
        self._lock = threading.Lock()
        self._activity = Activity()
        self._store = SnapshotStore(snapshot)

    def _end_source(self, new_store: SnapshotStore | None = None) -> None:
        """Stops the source, and replaces the store in the same step."""
        with self._lock:
            source, self._source = self._source, None
            finalizer, self._finalizer = self._finalizer, None
            self._store.expect_nothing()
            if new_store is not None:
                replaced, self._store = self._store, new_store
                replaced.announce()
            dispatcher, self._dispatcher = self._dispatcher, None
        if finalizer is not None:
            finalizer.detach()
        if dispatcher is not None:
            dispatcher.close()
        if source is not None:
            source.stop()
            source.join()


def _stop_detached(source: Source) -> None:
    """Stops the source of an app that was freed.

    The garbage collector may call this in any thread and at any line, also where that thread holds
    a lock of the source. So another thread stops it; starting that one takes no lock.
    """
    _thread.start_new_thread(source.stop, ())
