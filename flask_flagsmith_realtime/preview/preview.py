"""The preview of the current request: who may have one, and what it sets.

Everything happens in the request's thread. A decision is made once in a request and lies in ``g``.
A request without the cookie and without a setting in its URL is not asked about.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from flask import Flask, g, has_request_context, request

from .. import logs, signals
from ..logs import SafeLogger
from . import settings
from .settings import Setting

logger = SafeLogger(logging.getLogger(__name__))

#: A setting in a URL: ``?flagsmith.new_checkout=on``.
_PARAMETER = "flagsmith."
_DECISION = "_flagsmith_preview"
_CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE")


class Decision(msgspec.Struct, frozen=True):
    """The decision about a request.

    :param allowed: ``True`` if the visitor may preview.
    :param settings: the settings, by feature.
    :param cookie: the new value of the cookie, empty to delete it; ``None`` if it stays.
    """

    allowed: bool = False
    settings: Mapping[str, Setting] | None = None
    cookie: str | None = None


class Preview:
    """The previews of an extension's apps."""

    def __init__(self) -> None:
        #: The endpoint of the page, for each app that has registered the blueprint.
        self.pages: weakref.WeakKeyDictionary[Flask, str] = weakref.WeakKeyDictionary()
        #: ``True`` if there is one: each request that reads flags asks.
        self.is_registered = False
        self._is_allowed: Callable[[], Any] | None = None

    def add_page(self, app: Flask, endpoint: str) -> None:
        """Notes that an app has registered the blueprint."""
        self.pages[app] = endpoint
        self.is_registered = True

    def register(self, function: Callable[[], Any]) -> None:
        """Sets the function that says if the visitor may preview."""
        self._is_allowed = function

    def settings(self, app: Flask) -> Mapping[str, Setting]:
        """Returns the settings of the current request, by feature."""
        return self.decide(app).settings or {}

    def decide(self, app: Flask) -> Decision:
        """Returns the decision about the current request."""
        if not has_request_context():
            return Decision()
        decision: Decision | None = g.get(_DECISION)
        if decision is None:
            # The function may read flags, and thereby ask for the decision.
            setattr(g, _DECISION, Decision())
            decision = self._decide(app)
            setattr(g, _DECISION, decision)
        return decision

    def may_preview(self, app: Flask) -> bool:
        """Returns ``True`` if the visitor may preview."""
        if app.secret_key is None:
            return False
        if self._is_allowed is None:
            return app.debug
        try:
            return bool(app.ensure_sync(self._is_allowed)())
        except Exception:
            logger.exception(
                "%s, which says who may preview, failed: this visitor may not.",
                signals.name_of(self._is_allowed),
                extra=logs.fields("preview_check_failed"),
            )
            return False

    def _decide(self, app: Flask) -> Decision:
        cookie = request.cookies.get(settings.COOKIE)
        texts = {
            name.removeprefix(_PARAMETER): text
            for name, text in request.args.items()
            if name.startswith(_PARAMETER)
        }
        if (cookie is None and not texts) or not self.may_preview(app):
            return Decision()
        kept = settings.verify(cookie, app.secret_key or "") if cookie is not None else {}
        wanted = settings.changed(kept, texts)
        try:
            cookie_wanted = None if wanted == kept else self.sign(app, wanted)
        except settings.TooManySettingsError:
            wanted, cookie_wanted = kept, None
        if wanted:
            # The browser may have kept the page without the preview.
            for name in _CONDITIONS:
                request.environ.pop(name, None)
        return Decision(True, wanted, cookie_wanted)

    def sign(self, app: Flask, wanted: Mapping[str, Setting]) -> str:
        """Returns the value of the cookie for settings; empty for none.

        :raises TooManySettingsError: if it were too long.
        """
        return settings.sign(wanted, app.secret_key or "") if wanted else ""
