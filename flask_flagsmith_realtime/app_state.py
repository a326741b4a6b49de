"""The parts of one app: they lie in ``app.extensions``, never on the extension.

:class:`AppState` puts the parts together and hands out :class:`.reading.Flags`.
"""

from __future__ import annotations

import logging
from functools import partial

from flask import Flask

from .config import Config
from .engine import Engine, FileSource, FlagsmithSource, SourceFactory
from .exceptions import ConfigError, NotInitializedError
from .identities import IdentityLoader, LocalIdentities, RemoteIdentities, RequestIdentities
from .logs import OncePerCause, SafeLogger
from .model import Snapshot
from .preview import Preview
from .reading import Flags, Identities, Layer, MissingFeatures, OverriddenFlags
from .reporting import Reporter
from .signals import OnChange
from .storage import read_offline_file

logger = SafeLogger(logging.getLogger(__name__))

#: The key in ``app.extensions``.
EXTENSION = "flagsmith_realtime"


class AppState:
    """The parts of one app.

    :param on_change: the functions for changes of single features. Signals hold their receivers
        weakly; this keeps them alive as long as the app.
    :raises ConfigError: if the offline file or the Redis URL cannot be used.
    """

    def __init__(
        self,
        app: Flask,
        config: Config,
        loader: IdentityLoader,
        on_change: OnChange,
        preview: Preview,
    ) -> None:
        self.app = app
        self.config = config
        self.loader = loader
        self.on_change = on_change
        self.engine = Engine(app, config, _source_factory(config))
        self.reporter = Reporter(app, config)
        self._missing = MissingFeatures(config, lambda: app.testing)
        self._remote = RemoteIdentities(app, config)
        self._evaluation = _new_evaluation()
        self._newest: tuple[Snapshot | None, Flags | None] = None, None
        self.preview = preview
        #: The overrides of tests, the innermost last. Replaced as a whole.
        self.overrides: tuple[Layer, ...] = ()

    def start(self) -> None:
        """Starts the engine because the app asks for it.

        :raises ConfigError: if there is no key, which an app under test need not have.
        """
        self.engine.start_by_hand()
        self.reporter.start()

    def stop(self) -> None:
        """Stops the engine, and the reporter after its last report."""
        self.engine.stop()
        self.reporter.stop()

    def flags(self) -> Flags:
        """Returns a view of the newest flags."""
        snapshot = self.engine.read()
        newest, flags = self._newest
        if flags is None or newest is not snapshot:
            flags = self._view(snapshot)
        return OverriddenFlags(flags, self.overrides) if self.overrides else flags

    def _view(self, snapshot: Snapshot | None) -> Flags:
        if snapshot is None:
            return self._flags_of(None, None)
        if snapshot.evaluation is None:
            # One for each request: it reads each identity once, and the same until its end.
            return self._flags_of(snapshot, RequestIdentities(self._remote, snapshot))
        newest, _ = self._newest
        if newest is not None and newest.epoch != snapshot.epoch:
            self._evaluation = _new_evaluation()
        flags = self._flags_of(snapshot, LocalIdentities(snapshot, self._evaluation))
        # One for all requests under this snapshot, so that each identity is evaluated once.
        self._newest = snapshot, flags
        return flags

    def _flags_of(self, snapshot: Snapshot | None, identities: Identities | None) -> Flags:
        defaults, missing = self.config.defaults, self._missing
        return Flags(snapshot, defaults, missing, identities, on_exposure=self.reporter.expose)


def _new_evaluation() -> OncePerCause:
    """Evaluation errors are logged once for each state of the environment's rules."""
    return OncePerCause(logger, "evaluation", "")


def _source_factory(config: Config) -> SourceFactory:
    """Returns the function that makes the app's source at each start of its engine.

    :raises ConfigError: if the offline file or the Redis URL cannot be used.
    """
    if config.offline_file is not None:
        snapshot = read_offline_file(config.offline_file)
        return lambda _activity: FileSource(snapshot)
    if config.redis_url is None:
        return partial(FlagsmithSource, config)
    try:
        # The package redis is optional.
        from .fleet import FleetMember, check_url
    except ImportError:
        raise ConfigError(
            "FLAGSMITH_REDIS_URL is set, but the package redis is not installed: "
            "pip install 'flask-flagsmith-realtime[redis]'."
        ) from None
    check_url(config.redis_url)
    return partial(FleetMember, config)


def state_of(app: Flask) -> AppState:
    """Returns the parts of an app.

    :raises NotInitializedError: if the app was not set up.
    """
    try:
        state: AppState = app.extensions[EXTENSION]
    except KeyError:
        raise NotInitializedError(
            f"The app {app.name!r} has no flags: call FlagsmithRealtime(app), or "
            "flagsmith.init_app(app), where the app is made."
        ) from None
    return state
