"""An app with the blueprint for browsers."""

from __future__ import annotations

from typing import Any

from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, Identity
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.waiting import PATIENCE_SECONDS


class Shop:
    """An app with the blueprint. Each test may set who asks, and settings before the first use."""

    def __init__(self, emulator: Emulator) -> None:
        self.flagsmith = FlagsmithRealtime()
        self.identity: Identity | None = None
        self.settings: dict[str, Any] = {}
        self._emulator = emulator
        self._app: Flask | None = None
        self._answers: list[Any] = []

    @property
    def app(self) -> Flask:
        """The app."""
        if self._app is None:
            self._app = Flask("shop")
            self._app.config.update(self._emulator.config)
            self._app.config["FLAGSMITH_STARTUP_TIMEOUT_SECONDS"] = PATIENCE_SECONDS
            self._app.config.update(self.settings)
            self.flagsmith.identity_loader(lambda: self.identity)
            self.flagsmith.init_app(self._app)
            self._app.register_blueprint(self.flagsmith.browser)
        return self._app

    def call(self, path: str, method: str = "GET", **options: Any) -> Any:
        """Call the blueprint."""
        client = self.app.test_client(use_cookies=False)
        options.setdefault("environ_overrides", {"wsgi.multithread": True})
        answer = client.open(f"/flagsmith/browser/{path}", method=method, **options)
        self._answers.append(answer)
        return answer

    def close(self) -> None:
        """Close all answers, as a server does, and stop the extension."""
        for answer in self._answers:
            answer.close()
        self.flagsmith.stop(self.app)
