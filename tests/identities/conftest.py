"""Fixtures of the tests of identities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, flags
from tests.support.apps import MakeApp
from tests.support.misbehaving import MisbehavingFlagsmith
from tests.support.waiting import PATIENCE_SECONDS

#: No time runs out while a machine is busy, unless a test sets it.
PATIENT = {
    "STARTUP_TIMEOUT_SECONDS": PATIENCE_SECONDS,
    "REQUEST_TIMEOUT_SECONDS": PATIENCE_SECONDS,
    "IDENTITY_TTL_SECONDS": 10 * PATIENCE_SECONDS,
}


@pytest.fixture
def make_remote_app(flagsmith: MisbehavingFlagsmith) -> Iterator[MakeApp]:
    """Makes apps with the client-side key. Settings are given without their prefix."""
    apps: list[Flask] = []

    def make(**settings: Any) -> Flask:
        app = Flask("shop")
        app.config.update(flagsmith.config)
        app.config["FLAGSMITH_ENVIRONMENT_KEY"] = flagsmith.client_side_key
        app.config.update({f"FLAGSMITH_{name}": value for name, value in PATIENT.items()})
        app.config.update({f"FLAGSMITH_{name}": value for name, value in settings.items()})
        FlagsmithRealtime(app)
        apps.append(app)
        with app.app_context():
            assert flags["new_checkout"]
        flagsmith.wait_for_streams(len(apps))
        return app

    yield make
    for app in apps:
        FlagsmithRealtime().stop(app)


@pytest.fixture
def app(make_remote_app: MakeApp) -> Flask:
    """An app in remote evaluation."""
    return make_remote_app()
