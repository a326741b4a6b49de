"""The probes: their answers, and that they start nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from flask_flagsmith_realtime import FlagsmithRealtime, flags, refresh_failed
from flask_flagsmith_realtime.app_state import EXTENSION
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.storage.snapshot_file import SnapshotFile
from tests.support.apps import MakeApp, Received

LIVE, READY = "/flagsmith/health/live", "/flagsmith/health/ready"


@pytest.fixture
def flagsmith() -> FlagsmithRealtime:
    return FlagsmithRealtime()


def get(app: Flask, path: str = READY) -> TestResponse:
    return app.test_client().get(path)


def test_a_process_is_alive_during_an_outage_of_flagsmith(
    make_app: MakeApp, flagsmith: FlagsmithRealtime
) -> None:
    app = make_app(flagsmith, API_URL="http://127.0.0.1:9/api/v1/", STARTUP_TIMEOUT_SECONDS=0)
    app.register_blueprint(flagsmith.health)
    response = get(app, LIVE)
    assert (response.status_code, response.json) == (200, {"status": "ok"})
    assert response.headers["Cache-Control"] == "no-store"


def test_a_process_with_flags_is_ready(
    make_app: MakeApp, flagsmith: FlagsmithRealtime, emulator: Emulator
) -> None:
    app = make_app(flagsmith)
    app.register_blueprint(flagsmith.health)
    with app.app_context():
        assert flags["banner_text"]
    response = get(app)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    content = response.json
    assert content is not None
    assert content["status"] == "ready"
    assert content["state"] in ("live", "polling")
    assert content["reason"] is None
    assert content["epoch"] == pytest.approx(emulator.epoch, abs=1e-6)
    assert content["age_seconds"] >= 0


def test_a_process_without_flags_is_not_ready(
    make_app: MakeApp, flagsmith: FlagsmithRealtime, emulator: Emulator
) -> None:
    app = Flask("shop")
    failed = Received(refresh_failed, app)
    app.config.update(emulator.config, FLAGSMITH_API_URL="http://127.0.0.1:9/api/v1/")
    flagsmith.init_app(app)
    app.register_blueprint(flagsmith.health)
    failed.wait()
    response = get(app)
    assert response.status_code == 503
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json == {
        "status": "not ready",
        "state": "starting",
        "reason": "Flagsmith has not answered yet, and no earlier flags are known. Defaults serve.",
        "epoch": None,
        "age_seconds": None,
    }
    flagsmith.stop(app)


def test_a_process_with_last_good_flags_is_ready(
    make_app: MakeApp, flagsmith: FlagsmithRealtime, emulator: Emulator, tmp_path: Path
) -> None:
    file = os.fspath(tmp_path / "snapshot")
    snapshot = make_app().extensions[EXTENSION].engine.read()
    SnapshotFile(file, emulator.server_side_key).write(snapshot)
    app = Flask("shop")
    failed = Received(refresh_failed, app)
    app.config.update(
        emulator.config,
        FLAGSMITH_API_URL="http://127.0.0.1:9/api/v1/",
        FLAGSMITH_SNAPSHOT_FILE=file,
    )
    flagsmith.init_app(app)
    app.register_blueprint(flagsmith.health)
    failed.wait()
    response = get(app)
    assert response.status_code == 200
    assert response.json is not None
    assert response.json["state"] == "stale"
    assert response.json["reason"] == (
        "The flags may be older than they should be. The last good ones serve."
    )
    assert "127.0.0.1" not in response.text
    flagsmith.stop(app)


def test_an_offline_process_is_ready(
    flagsmith: FlagsmithRealtime, emulator: Emulator, tmp_path: Path
) -> None:
    document = tmp_path / "environment.json"
    document.write_text(json.dumps(emulator.document))
    app = Flask("shop")
    app.config["FLAGSMITH_OFFLINE_FILE"] = os.fspath(document)
    flagsmith.init_app(app)
    app.register_blueprint(flagsmith.health)
    response = get(app)
    assert response.status_code == 200
    assert response.json is not None
    assert response.json["state"] == "offline"


def test_a_process_that_starts_at_the_first_read_is_ready(
    make_app: MakeApp, flagsmith: FlagsmithRealtime, emulator: Emulator
) -> None:
    app = make_app(flagsmith, AUTOSTART=False)
    app.register_blueprint(flagsmith.health)
    for _ in range(2):
        response = get(app)
        assert response.status_code == 200
        assert response.json is not None
        assert response.json["reason"] == "Fetching begins when the first flag is read."
    assert not flagsmith.status.running
    assert not emulator.calls


def test_an_app_under_test_is_ready(flagsmith: FlagsmithRealtime) -> None:
    app = Flask("shop")
    app.testing = True
    flagsmith.init_app(app)
    app.register_blueprint(flagsmith.health)
    assert get(app).status_code == 200


@pytest.mark.parametrize("path", [LIVE, READY])
def test_head(make_app: MakeApp, flagsmith: FlagsmithRealtime, path: str) -> None:
    app = make_app(flagsmith, AUTOSTART=False)
    app.register_blueprint(flagsmith.health)
    response = app.test_client().head(path)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert not response.data
    assert app.test_client().post(path).status_code == 405


def test_the_prefix_can_be_chosen(make_app: MakeApp, flagsmith: FlagsmithRealtime) -> None:
    app = make_app(flagsmith, AUTOSTART=False)
    app.register_blueprint(flagsmith.health, url_prefix="/-")
    assert get(app, "/-/ready").status_code == 200
    assert get(app, READY).status_code == 404


def test_each_app_has_its_own_probes(
    make_app: MakeApp, flagsmith: FlagsmithRealtime, emulator: Emulator
) -> None:
    first = make_app(flagsmith)
    second = make_app(flagsmith, AUTOSTART=False)
    for app in (first, second):
        app.register_blueprint(flagsmith.health)
    with first.app_context():
        assert flags["banner_text"]
    assert [(get(app).json or {})["epoch"] for app in (first, second)] == [
        pytest.approx(emulator.epoch, abs=1e-6),
        None,
    ]
