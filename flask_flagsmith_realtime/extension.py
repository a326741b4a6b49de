"""The extension: what an app is given, and what it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask

from . import offline, signals, uwsgi
from .autostart import should_start
from .changes import FlagChange
from .config import Config, read_config
from .current import EXTENSION, flags
from .errors import ConfigError, NotInitializedError
from .flags import Flags, MissingFeatures
from .overrides import Layer, OverriddenFlags
from .realtime import Realtime

OnChange = TypeVar("OnChange", bound=Callable[[FlagChange], Any])


class FlagsmithRealtime:
    """Flagsmith feature flags for a Flask app, following every change by themselves.

    .. code-block:: python

        flagsmith = FlagsmithRealtime(app)

    or, in an application factory, ``flagsmith = FlagsmithRealtime()`` and later
    ``flagsmith.init_app(app)``. One object can serve several apps: each has its own flags.

    :param app: the app to set up, if it is there already.
    :raises ConfigError: see :meth:`init_app`.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self._on_change: list[tuple[frozenset[str], Callable[[FlagChange], Any]]] = []
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set up an app: read its ``FLAGSMITH_`` settings, offer ``flags`` to its templates, and
        start listening. Never waits for the network.

        :raises ConfigError: if a setting is missing or wrong, or the app has been set up before.
        """
        if EXTENSION in app.extensions:
            raise ConfigError(
                f"The app {app.name!r} has been set up by FlagsmithRealtime before. Make one "
                "FlagsmithRealtime, and pass the app to it or to its init_app, not to both."
            )
        config = read_config(app.config, testing=app.testing)
        app.extensions[EXTENSION] = state = AppState(app, config)
        app.context_processor(lambda: {"flags": flags})
        signals.flags_changed.connect(self._tell_of_changes, sender=app, weak=False)
        if config.offline_file is None:
            uwsgi.warn_without_threads()
            if config.autostart and should_start(app):
                state.realtime.autostart()

    def start(self, app: Flask) -> None:
        """Start listening now, if this process does not: also under test, or in a command."""
        state_of(app).realtime.start_by_hand()

    def stop(self, app: Flask) -> None:
        """Stop listening for good. Flags stay readable as they are."""
        state_of(app).realtime.stop()

    def on_change(self, *feature_names: str) -> Callable[[OnChange], OnChange]:
        """Register a function to be called when one of these features changes.

        .. code-block:: python

            @flagsmith.on_change("pricing")
            def reload_prices(change):
                prices.load(change.after.value)

        It is called with the :class:`FlagChange`, once for each feature that changed, in an app
        context in the refresher's thread, for each app of this extension.

        :param feature_names: the features' names on Flagsmith.
        """
        if not feature_names or not all(isinstance(name, str) for name in feature_names):
            raise TypeError('on_change takes features\' names: @flagsmith.on_change("pricing")')

        def register(function: OnChange) -> OnChange:
            self._on_change.append((frozenset(feature_names), function))
            return function

        return register

    def _tell_of_changes(self, app: Flask, changes: Any, **_: Any) -> None:
        for names, function in self._on_change:
            for name in sorted(names & changes.keys()):
                signals.call(app, function, f"called on a change of {name}", changes[name])


class AppState:
    """All that the extension keeps for one app, in ``app.extensions``."""

    def __init__(self, app: Flask, config: Config) -> None:
        self.app = app
        self.config = config
        self.missing = MissingFeatures(config, lambda: app.testing)
        snapshot = None if config.offline_file is None else offline.read(config.offline_file)
        self.realtime = Realtime(app, config, snapshot)
        #: What a test overrides, the innermost last. Replaced as a whole.
        self.overrides: tuple[Layer, ...] = ()

    def flags(self) -> Flags:
        """A view of the flags as they are now."""
        flags = Flags(self.realtime.read(), self.config.defaults, self.missing)
        return OverriddenFlags(flags, self.overrides) if self.overrides else flags


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
