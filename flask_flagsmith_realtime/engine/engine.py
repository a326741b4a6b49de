"""The engine: keeps one app's flags fresh in one process. Starts the threads, forks, shuts down.

The threads are those of a :class:`.run.Run`. *Request* threads read the holder, without a lock once
the first snapshot is there. Whoever starts or stops an engine holds its lock meanwhile, and nobody
waits on the network with it.

What a fork inherits: the snapshot, and nothing else. In the child, lock, holder and threads are
made anew. The child goes on by itself if its parent was running. Under uWSGI the master, which only
loads the app, runs nothing. See :mod:`.process` for who tells of forks, and of the end.
"""

from __future__ import annotations

import threading

from flask import Flask

from ..client import API
from ..config import Config
from ..exceptions import ConfigError, FetchError
from ..fleet.election import FleetTimings, Role
from ..model import Snapshot
from ..monitoring import Activity, Now, Status, make_status
from ..processes import (
    after_fork,
    are_threads,
    is_forked,
    is_uwsgi_master,
    register_engine,
    spawn,
    watch_gevent,
    will_be_threads,
)
from ..storage import SnapshotFile
from .mailbox import RefreshHint
from .run import Run
from .store import SnapshotStore


class Engine:
    """One app's engine.

    :param app: the app, sender of the signals.
    :param config: its settings.
    :param offline: the snapshot to serve for good, if there is to be no network at all.
    :param pace: the times of the fleet, if there is one.
    """

    _lock: threading.Lock
    _activity: Activity
    _holder: SnapshotStore
    _file: SnapshotFile | None

    def __init__(
        self,
        app: Flask,
        config: Config,
        offline: Snapshot | None = None,
        pace: FleetTimings | None = None,
    ) -> None:
        self._app = app
        self._config = config
        self._pace = pace or FleetTimings()
        self._offline = offline
        self._run: Run | None = None
        #: Whether somebody stopped it: only a start by hand undoes that.
        self._stopped = False
        #: Whether somebody asked for it, rather than a setting: that counts under test, too.
        self._by_hand = False
        #: Whether it is to start when it takes over, although it does not run now.
        self._resumes = False
        self._renew()
        register_engine(self)

    def read(self) -> Snapshot | None:
        """The newest snapshot. Starts the engine if it is not running in this process.

        The first read waits for the first snapshot, see :meth:`SnapshotStore.wait`.
        """
        if is_forked():
            after_fork()
        # Not app.testing, a property that costs several times as much: this is in each request.
        if self._app.config["TESTING"] and not self._by_hand:
            if self._run is not None:
                # It was started before anybody said that this is a test.
                self._end_run()
            return self._offline
        snapshot = self._holder.snapshot
        if self._run is None and not self._stopped and self._offline is None:
            self.start()
        if snapshot is not None:
            return snapshot
        run = self._run
        if run is None or run.refresher.is_current_thread:
            return self._holder.get_or_fallback()
        return self._holder.wait(self._config.startup_timeout_seconds)

    def status(self) -> Status:
        """How well the app is supplied with flags. Starts nothing and waits for nothing."""
        run = self._run
        under_test = self._app.testing and not self._by_hand
        return make_status(
            self._config,
            self._offline if under_test else self._holder.snapshot,
            self._activity,
            Now(),
            running=run is not None and run.is_alive and not is_forked(),
            offline=under_test or self._offline is not None,
            leader=self._leads(),
        )

    def tell(self, told: RefreshHint) -> None:
        """A webhook came. Starts the engine if it is not running in this process."""
        if is_forked():
            after_fork()
        if self._run is None and not self._stopped and not self._app.testing:
            self.start()
        run = self._run
        if run is not None:
            run.mailbox.tell(told)

    def autostart(self) -> None:
        """Start because a setting says so: not under test, and in uWSGI's workers only."""
        if self._app.testing:
            return
        if is_uwsgi_master():
            self._resumes = True
        else:
            self.start()

    def start_by_hand(self) -> None:
        """Start because somebody asks for it, also under test.

        :raises ConfigError: if there is no key, which under test need not be.
        """
        if self._config.environment_key is None and self._offline is None:
            raise ConfigError(
                "FLAGSMITH_ENVIRONMENT_KEY is missing. An app under test needs none until it is to "
                "follow Flagsmith all the same: set it, and FLAGSMITH_API_URL, before init_app."
            )
        self._by_hand = True
        self._stopped = False
        self.start()

    def start(self) -> None:
        """Start the threads, unless they are running, or somebody stopped them. Does not wait for
        the network. If there can be no threads, the next read of a flag tries again."""
        with self._lock:
            # Asked here, where nobody stops meanwhile.
            if self._stopped or self._run is not None or self._offline is not None:
                return
            if self._holder.snapshot is None and self._file is not None:
                self._holder = SnapshotStore(reserve=self._file.read())
            self._holder.expect()
            watch_gevent()
            run = Run(self._app, self._config, self._holder, self._file, self._activity, self._pace)
            if run.start():
                self._run = run

    def read_once(self) -> FetchError | None:
        """Fetch in the caller's thread and start nothing, also at the reads that follow: for a
        command that reads flags and ends. Does nothing if the engine is running.

        :returns: why Flagsmith could not be asked. Then the last good snapshot serves, if a file
            has it.
        """
        if self._run is not None or self._offline is not None or self._app.testing:
            return None
        self._stopped = True
        api = API(self._config)
        try:
            self._holder.publish(api.fetch())
        except FetchError as error:
            if self._file is not None:
                self._holder = SnapshotStore(reserve=self._file.read())
            return error
        finally:
            api.close()
        return None

    def stop(self) -> None:
        """End the threads until they are started by hand. Flags stay readable as they are."""
        self._stopped = True
        self._end_run()

    def pause(self) -> None:
        """End the threads until :meth:`reset_after_fork`."""
        self._resumes = self._resumes or self._run is not None
        self._end_run()

    def reset_after_fork(self) -> None:
        """Begin anew where threads and locks so far cannot be used: in a forked child, and when
        gevent has patched. Goes on if it was running, or was to start in the child."""
        resumes = self._run is not None or self._resumes
        self._run = None
        self._renew(self._holder.snapshot)
        self._resumes = resumes
        if not resumes or will_be_threads():
            return
        self._resumes = False
        if are_threads():
            # They cannot be waited for yet: the loop may still be the parent's.
            spawn(self.start)
        else:
            self.start()

    def _renew(self, snapshot: Snapshot | None = None) -> None:
        """Make all that belongs to one process."""
        self._lock = threading.Lock()
        self._activity = Activity()
        self._holder = SnapshotStore(snapshot if self._offline is None else self._offline)
        path, key = self._config.snapshot_file, self._config.environment_key
        self._file = SnapshotFile(path, key) if path is not None and key is not None else None

    def _leads(self) -> bool | None:
        run = self._run
        if run is None or run.fleet is None:
            return None
        role = run.refresher.role
        return None if role in (None, Role.ALONE) else role is Role.LEADER

    def _end_run(self) -> None:
        with self._lock:
            run, self._run = self._run, None
            self._holder.expect_nothing()
        if run is not None:
            run.stop()
