"""Which flags commands show: Flagsmith's, a file's, or the defaults."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.apps import MakeApp
from tests.support.commands import MakeCommandApp, run
from tests.support.waiting import eventually

#: Nothing listens here.
NOWHERE = "http://127.0.0.1:9/api/v1/"


@pytest.mark.parametrize("command", [("list",), ("get", "banner_text")])
def test_reading_costs_one_call_and_no_stream(
    make_quiet: MakeCommandApp, emulator: Emulator, command: tuple[str, ...]
) -> None:
    run(make_quiet(), *command)
    assert emulator.calls == {"environment-document/": 1}
    assert emulator.streams_opened == 0


def test_during_an_outage_defaults_are_shown_with_a_warning(
    make_quiet: MakeCommandApp,
) -> None:
    app = make_quiet(API_URL=NOWHERE, DEFAULTS={"banner_text": "by default"})
    result = run(app, "list")
    assert result.exit_code == 0
    assert re.search(r'banner_text +on +"by default" +default', result.stdout)
    assert f"Warning: Flagsmith could not be asked at {NOWHERE}" in result.stderr


def test_during_an_outage_the_snapshot_file_is_shown(
    make_quiet: MakeCommandApp, make_app: MakeApp, tmp_path: Path, emulator: Emulator
) -> None:
    file = tmp_path / "snapshot"
    writer = make_app(SNAPSHOT_FILE=file)
    assert emulator.wait_for_streams(1)
    eventually(file.exists)
    writer.extensions["flagsmith_realtime"].engine.stop()
    result = run(make_quiet(API_URL=NOWHERE, SNAPSHOT_FILE=file), "get", "banner_text")
    assert result.exit_code == 0
    assert "Welcome to the tea shop" in result.stdout
    assert "Warning: Flagsmith could not be asked" in result.stderr


def test_an_outage_without_any_flags_is_an_error(make_quiet: MakeCommandApp) -> None:
    for command in (["list"], ["get", "banner_text"]):
        result = run(make_quiet(API_URL=NOWHERE), *command)
        assert result.exit_code == 1
        assert not result.stdout
        assert "Error: Flagsmith could not be asked" in result.stderr


def test_an_offline_file_is_read_without_a_call(tmp_path: Path, emulator: Emulator) -> None:
    file = tmp_path / "environment.json"
    file.write_text(json.dumps(emulator.document))
    app = Flask("shop")
    app.config["FLAGSMITH_OFFLINE_FILE"] = file
    FlagsmithRealtime(app)
    assert "Welcome to the tea shop" in run(app, "list").stdout
    assert run(app, "get", "new_checkout").exit_code == 3
    assert not emulator.calls


def test_an_app_under_test_makes_no_call(emulator: Emulator) -> None:
    app = Flask("shop")
    app.config.update(emulator.config, TESTING=True, FLAGSMITH_DEFAULTS={"banner_text": "Hi"})
    FlagsmithRealtime(app)
    assert '"Hi"' in run(app, "list").stdout
    assert not emulator.calls


def test_watch_of_an_offline_file_is_an_error(tmp_path: Path, emulator: Emulator) -> None:
    file = tmp_path / "environment.json"
    file.write_text(json.dumps(emulator.document))
    app = Flask("shop")
    app.config["FLAGSMITH_OFFLINE_FILE"] = file
    FlagsmithRealtime(app)
    result = run(app, "watch")
    assert result.exit_code == 1
    assert "never change" in result.stderr
