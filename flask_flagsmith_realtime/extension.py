"""The extension: sets up an app, and offers it status, signals for single features, and
blueprints."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from flask import Blueprint, Flask, current_app

from . import browser, health, signals, webhook
from .app_state import EXTENSION, AppState, state_of
from .cli import flagsmith
from .config import read_config
from .current import context_app, current_flags, flags, was_read
from .exceptions import ConfigError, NotInitializedError
from .identities import IdentityLoader
from .model import FlagChange, FlagValue, Identity
from .monitoring import Status
from .preview import Preview
from .preview import make_blueprint as make_preview_blueprint
from .processes import refuse_eventlet, should_start, warn_without_uwsgi_threads
from .signals import OnChange

Function = TypeVar("Function", bound=Callable[[FlagChange], Any])
Loader = TypeVar("Loader", bound=Callable[[], Any])


class FlagsmithRealtime:
    """Flagsmith feature flags for a Flask app that follow every change.

    .. code-block:: python

        flagsmith = FlagsmithRealtime(app)

    or, with an application factory, ``flagsmith = FlagsmithRealtime()`` and later
    ``flagsmith.init_app(app)``. One object can serve several apps: each has its own flags.

    :param app: the app to set up, if it exists already.
    :raises ConfigError: see :meth:`init_app`.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self._on_change = OnChange()
        self._loader = IdentityLoader()
        self._apps: weakref.WeakSet[Flask] = weakref.WeakSet()
        self._preview = Preview()
        #: A blueprint for browsers at ``/flagsmith/browser``, for
        #: ``app.register_blueprint(flagsmith.browser)``: open pages follow changes, and Flagsmith's
        #: JavaScript SDK works on the app's own origin. ``url_prefix`` replaces
        #: ``/flagsmith/browser``.
        self.browser: Blueprint = browser.make_blueprint(current_flags)
        #: A blueprint with the probes ``/flagsmith/health/live`` and ``/flagsmith/health/ready``,
        #: for ``app.register_blueprint(flagsmith.health)``. ``url_prefix`` replaces
        #: ``/flagsmith/health``.
        self.health: Blueprint = health.make_blueprint()
        #: A blueprint by which people see features differently in their own browser, for
        #: ``app.register_blueprint(flagsmith.preview)``: a page at ``/flagsmith/preview``, and
        #: settings in URLs, such as ``?flagsmith.new_checkout=on``. ``url_prefix`` replaces
        #: ``/flagsmith/preview``. Needs ``SECRET_KEY``; see :meth:`preview_allowed`.
        self.preview: Blueprint = make_preview_blueprint(
            self._preview,
            current_flags,
            was_read,
            lambda: state_of(current_app).config.preview_badge,
        )
        #: A blueprint that receives Flagsmith's webhooks at ``/flagsmith/webhook``, for
        #: ``app.register_blueprint(flagsmith.webhook)``. ``url_prefix`` replaces ``/flagsmith``.
        #: Needs ``FLAGSMITH_WEBHOOK_SECRET``.
        self.webhook: Blueprint = webhook.make_blueprint()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Sets up an app: reads its ``FLAGSMITH_`` settings, adds ``flags`` to its templates and
        ``flask flagsmith`` to its commands, and starts to listen. Never waits for the network.

        :raises ConfigError: if a setting is missing or wrong, or the app has been set up before.
        """
        if EXTENSION in app.extensions:
            raise ConfigError(
                f"The app {app.name!r} has been set up by FlagsmithRealtime before. Make one "
                "FlagsmithRealtime, and pass the app to it or to its init_app, not to both."
            )
        config = read_config(app.config, testing=app.testing)
        self._apps.add(app)
        state = AppState(app, config, self._loader, self._on_change, self._preview)
        app.extensions[EXTENSION] = state
        app.context_processor(lambda: {"flags": flags})
        app.shell_context_processor(lambda: {"flags": flags})
        app.cli.add_command(flagsmith)
        signals.flags_changed.connect(self._on_change.call, sender=app)
        if config.offline_file is None:
            refuse_eventlet()
            warn_without_uwsgi_threads()
            if config.autostart and should_start(app):
                state.engine.autostart()

    @property
    def status(self) -> Status:
        """The :class:`Status` of the current app's flags, in this process, at this moment.

        Outside an app context, of the only app that this extension serves. Reading it starts
        nothing and waits for nothing.

        :raises NotInitializedError: if the extension serves no app, or several.
        """
        return state_of(self._app_meant()).engine.status()

    def wait_for_epoch(self, epoch: str | float | None, timeout: float = 1.0) -> bool:
        """Waits briefly until this process holds an epoch, for a view that a browser asks after a
        change: another process may have announced it. Call it before the first read of a flag.

        :param epoch: the epoch of the browser's event, as a number or as text. Text that is no
            epoch is ignored.
        :param timeout: the longest wait, in seconds.
        :returns: ``True`` if the process holds that epoch or a newer one.
        """
        return browser.wait_for_epoch(state_of(self._app_meant()).engine, epoch, timeout)

    def start(self, app: Flask) -> None:
        """Starts to listen now, if this process does not: also under test, or in a command.

        :raises ConfigError: if there is no key, which an app under test need not have.
        """
        state_of(app).start()

    def stop(self, app: Flask) -> None:
        """Stops listening until :meth:`start`. Flags stay readable as they are."""
        state_of(app).stop()

    def on_change(self, *feature_names: str) -> Callable[[Function], Function]:
        """Registers a function for the changes of some features.

        .. code-block:: python

            @flagsmith.on_change("pricing")
            def reload_prices(change):
                prices.load(change.after.value)

        It is called with the :class:`FlagChange`, once for each of the features that changed, in an
        app context in the dispatcher's thread, for each app of this extension.

        :param feature_names: the features' names on Flagsmith.
        """
        if not feature_names or not all(isinstance(name, str) for name in feature_names):
            raise TypeError('on_change takes features\' names: @flagsmith.on_change("pricing")')

        def register(function: Function) -> Function:
            self._on_change.register(feature_names, function)
            return function

        return register

    def identity_loader(self, function: Loader) -> Loader:
        """Registers the function that returns the identity of a request.

        .. code-block:: python

            @flagsmith.identity_loader
            def who_is_asking():
                if not current_user.is_authenticated:
                    return None
                return Identity(str(current_user.id), {"plan": current_user.plan})

        It is called once in a request, or in an app context outside one, at the first read of a
        flag: in views and templates, ``flags`` are then those of that :class:`Identity`. If it
        returns ``None``, or raises, which is logged, they are the environment's. It may be async,
        and may read ``flags`` itself: it gets the environment's. Of several functions the last one
        counts.
        """
        self._loader.register(function)
        return function

    def preview_allowed(self, function: Loader) -> Loader:
        """Registers the function that says if the visitor of a request may preview features.

        .. code-block:: python

            @flagsmith.preview_allowed
            def is_staff():
                return current_user.is_authenticated and current_user.is_staff

        Without one, all visitors may in debug mode, and none otherwise. If it raises, which is
        logged, the visitor may not. It may be async, and ``flags`` in it are the environment's.
        """
        self._preview.register(function)
        return function

    def track_event(
        self,
        name: str,
        *,
        value: FlagValue = None,
        metadata: Mapping[str, Any] | None = None,
        identity: Identity | None = None,
    ) -> None:
        """Reports to Flagsmith's experiments what a user did, such as a purchase.

        .. code-block:: python

            flagsmith.track_event("purchase", value=order.total, metadata={"items": 3})

        It is sent in the background, if :confval:`FLAGSMITH_ENABLE_EVENTS` is on.

        :param name: the event's name, of at most 256 characters.
        :param value: its value, of at most 128 KiB as text.
        :param metadata: further members, of at most 8 KiB as JSON.
        :param identity: the user; by default the identity of the current request.
        :raises TypeError: if an argument has a wrong type.
        :raises ValueError: if a limit is exceeded, or the name begins with ``$``.
        :raises NotInitializedError: if the extension serves no app, or several.
        """
        app = self._app_meant()
        if identity is None and context_app() is app:
            identity = flags.identity
        state_of(app).reporter.track(name, identity, value, metadata)

    def _app_meant(self) -> Flask:
        app = context_app()
        if app is not None and app in self._apps:
            return app
        apps = list(self._apps)
        if len(apps) == 1:
            return apps[0]
        raise NotInitializedError(
            f"This FlagsmithRealtime serves {len(apps)} apps, and none of them is the current one: "
            "ask inside 'with app.app_context():'."
            if apps
            else "This FlagsmithRealtime was given no app: call flagsmith.init_app(app) first."
        )
