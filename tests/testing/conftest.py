"""Fixtures of the tests of overrides."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, flags


@pytest.fixture
def app() -> Flask:
    """An app under test: no network, two features with defaults."""
    app = Flask("shop")
    app.config.update(
        TESTING=True,
        FLAGSMITH_DEFAULTS={"new_checkout": False, "banner_text": {"enabled": False, "value": "?"}},
    )
    FlagsmithRealtime(app)

    @app.get("/")
    def home() -> str:
        return f"{flags['new_checkout'].enabled} {flags['banner_text'].value}"

    return app
