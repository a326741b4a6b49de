"""All that the extension keeps for one app: in ``app.extensions``, never on the extension."""

from __future__ import annotations

import logging

from flask import Flask

from .config import Config
from .current import EXTENSION, Bound, bind
from .engine import Engine
from .exceptions import ConfigError, NotInitializedError
from .fleet.election import FleetTimings
from .identities import IdentityLoader, LocalIdentities, RemoteIdentities, RequestIdentities
from .logs import OncePerCause
from .model import Snapshot
from .reading import Flags, Layer, MissingFeatures, OverriddenFlags
from .signals import OnChange
from .storage import read_offline_file

logger = logging.getLogger(__name__)


class AppState:
    """All that the extension keeps for one app, in ``app.extensions``.

    :param app: the app.
    :param config: its settings.
    :param loader: says who is asking.
    :param on_change: is told of changes, by a signal that does not keep it alive: the app does.
    :param pace: the times of the fleet, if there is one.
    """

    def __init__(
        self,
        app: Flask,
        config: Config,
        loader: IdentityLoader,
        on_change: OnChange,
        pace: FleetTimings,
    ) -> None:
        self.app = app
        self.config = config
        self.missing = MissingFeatures(config, lambda: app.testing)
        snapshot = None if config.offline_file is None else read_offline_file(config.offline_file)
        if config.redis_url is not None:
            _check_redis(config.redis_url)
        self.realtime = Engine(app, config, snapshot, pace)
        self.loader = loader
        self.on_change = on_change
        self._remote = RemoteIdentities(app, config)
        self._evaluation = _new_evaluation()
        self._newest: tuple[Snapshot | None, Bound | None] = None, None
        #: What a test overrides, the innermost last. Replaced as a whole.
        self.overrides: tuple[Layer, ...] = ()

    def flags(self) -> Flags:
        """A view of the flags as they are now."""
        return self.bound()[0]

    def bound(self) -> Bound:
        """The same, ready to be kept for an app context."""
        snapshot = self.realtime.read()
        newest, bound = self._newest
        if bound is None or newest is not snapshot:
            bound = self._bind(snapshot)
        return bind(OverriddenFlags(bound[0], self.overrides)) if self.overrides else bound

    def _bind(self, snapshot: Snapshot | None) -> Bound:
        defaults, missing = self.config.defaults, self.missing
        if snapshot is None:
            return bind(Flags(None, defaults, missing))
        if snapshot.evaluator is None:
            identities = RequestIdentities(self._remote, snapshot)
            return bind(Flags(snapshot, defaults, missing, identities))
        newest, _ = self._newest
        if newest is not None and newest.epoch != snapshot.epoch:
            self._evaluation = _new_evaluation()
        flags = Flags(snapshot, defaults, missing, LocalIdentities(snapshot, self._evaluation))
        bound = bind(flags)
        # One for all who read under this snapshot, so that each identity is evaluated once.
        self._newest = snapshot, bound
        return bound


def _new_evaluation() -> OncePerCause:
    """What cannot be evaluated is said once for each state of the environment's rules."""
    return OncePerCause(logger, "evaluation", "")


def _check_redis(url: str) -> None:
    try:
        from .fleet.redis_client import check_url
    except ImportError:
        raise ConfigError(
            "FLAGSMITH_REDIS_URL is set, but the package redis is not installed: "
            "pip install 'flask-flagsmith-realtime[redis]'."
        ) from None
    check_url(url)


def state_of(app: Flask) -> AppState:
    """What the extension keeps for an app.

    :raises NotInitializedError: if the app was not set up.
    """
    try:
        state: AppState = app.extensions[EXTENSION]
    except KeyError:
        raise NotInitializedError(
            f"The app {app.name!r} was not set up: call flagsmith.init_app(app) first."
        ) from None
    return state
