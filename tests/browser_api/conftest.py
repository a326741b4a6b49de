"""Fixtures of the tests of the blueprint for browsers."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, Identity
from flask_flagsmith_realtime.emulator import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A Flagsmith with the feature ``pricing`` for server-side keys only."""
    document = copy.deepcopy(Emulator().document)
    document["project"]["server_key_only_feature_ids"] = [
        state["feature"]["id"]
        for state in document["feature_states"]
        if state["feature"]["name"] == "pricing"
    ]
    with Emulator(document=document) as running:
        yield running


class Shop:
    """An app with the blueprint. Each test may set who asks, and settings before the first use."""

    def __init__(self, emulator: Emulator) -> None:
        self.flagsmith = FlagsmithRealtime()
        self.identity: Identity | None = None
        self.settings: dict[str, Any] = {}
        self._emulator = emulator
        self._app: Flask | None = None

    @property
    def app(self) -> Flask:
        """The app."""
        if self._app is None:
            self._app = Flask("shop")
            self._app.config.update(self._emulator.config)
            self._app.config.update(self.settings)
            self.flagsmith.identity_loader(lambda: self.identity)
            self.flagsmith.init_app(self._app)
            self._app.register_blueprint(self.flagsmith.browser)
        return self._app

    def call(self, path: str, method: str = "GET", **options: Any) -> Any:
        """Call the blueprint."""
        client = self.app.test_client(use_cookies=False)
        options.setdefault("environ_overrides", {"wsgi.multithread": True})
        return client.open(f"/flagsmith/browser/{path}", method=method, **options)


@pytest.fixture
def shop(emulator: Emulator) -> Iterator[Shop]:
    """An app with the blueprint."""
    running = Shop(emulator)
    yield running
    running.flagsmith.stop(running.app)
