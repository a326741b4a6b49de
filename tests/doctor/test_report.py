"""The doctor's report: its lines, its costs, its secrets, and the checks of settings and files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, Snapshot
from flask_flagsmith_realtime.client import API
from flask_flagsmith_realtime.config import read_config
from flask_flagsmith_realtime.doctor.verdicts import diagnose_kept, diagnose_webhook
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.storage import SnapshotFile
from tests.support.doctor import app_with, examine, find, findings
from tests.support.misbehaving import MisbehavingFlagsmith


def test_a_healthy_app_is_ok_on_every_line(emulator: Emulator) -> None:
    result = examine(app_with(emulator.config))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert all(line.startswith(("ok ", " ")) for line in lines)
    checks = [line[8:18].strip() for line in lines if line[8:18].strip()]
    assert checks == ["settings", "key", "API", "clock", "project", "stream", "fleet"]
    assert "6 features" in result.stdout
    assert f"epoch {emulator.epoch:.3f}" in result.stdout
    assert "its greeting agrees with the API" in result.stdout
    assert max(map(len, lines)) <= 80


def test_no_secret_is_shown(emulator: Emulator) -> None:
    secrets = {
        "REDIS_URL": "redis://user:sesame@127.0.0.1:9/0",
        "WEBHOOK_SECRET": "open-sesame",
        "CUSTOM_HEADERS": {"Authorization": "Bearer sesame"},
    }
    for key in (emulator.server_side_key, emulator.client_side_key, "ser.some-other-key"):
        app = app_with(emulator.config, ENVIRONMENT_KEY=key, **secrets)
        for command in (["doctor"], ["doctor", "--json"]):
            output = app.test_cli_runner().invoke(args=["flagsmith", *command]).output
            assert key not in output
            assert "sesame" not in output


def test_it_makes_one_call_with_the_key_and_opens_one_stream(
    flagsmith: MisbehavingFlagsmith,
) -> None:
    findings(app_with(flagsmith.config))
    with_key = [call for call in flagsmith.calls if "x-environment-key" in call.headers]
    assert [call.path for call in with_key] == ["/api/v1/environment-document/"]
    assert flagsmith.stream.count == 1
    assert flagsmith.leaks == []


def test_an_app_under_test_is_checked_with_a_warning(emulator: Emulator) -> None:
    app = app_with({**emulator.config, "TESTING": True})
    assert find(app, "testing")["level"] == "warning"
    assert find(app, "API")["level"] == "ok"


def test_a_setting_with_a_typo_is_a_warning(emulator: Emulator) -> None:
    found = find(app_with(emulator.config, STRIKT=True), "settings")
    assert found["level"] == "warning"
    assert found["message"] == "FLAGSMITH_STRIKT is not a setting of this package"
    assert found["advice"] == "did you mean FLAGSMITH_STRICT?"


def test_an_offline_file_needs_no_checks_of_the_network(tmp_path: Path, emulator: Emulator) -> None:
    file = tmp_path / "environment.json"
    file.write_text(json.dumps(emulator.document))
    found = findings(app_with({"FLAGSMITH_OFFLINE_FILE": str(file)}))
    assert [finding["check"] for finding in found] == ["settings", "offline"]


def test_a_snapshot_file_in_no_directory_fails(emulator: Emulator, tmp_path: Path) -> None:
    good = find(app_with(emulator.config, SNAPSHOT_FILE=tmp_path / "flags"), "file")
    assert good["level"] == "ok"
    bad = find(app_with(emulator.config, SNAPSHOT_FILE=tmp_path / "no" / "flags"), "file")
    assert bad["level"] == "failed"


def test_webhooks_need_a_route_and_a_long_secret(emulator: Emulator) -> None:
    app = app_with(emulator.config, WEBHOOK_SECRET="s3cret")
    assert "accepts no webhooks" in find(app, "webhook")["message"]

    flagsmith = FlagsmithRealtime()
    app = Flask("shop")
    app.config.update(emulator.config, FLAGSMITH_AUTOSTART=False, FLAGSMITH_WEBHOOK_SECRET="s3cret")
    flagsmith.init_app(app)
    app.register_blueprint(flagsmith.webhook)
    found = find(app, "webhook")
    assert (found["level"], found["message"][-17:]) == ("warning", "it can be guessed")

    found = diagnose_webhook("x" * 32, ["/flagsmith/webhook"])
    assert found.level == "ok"
    assert found.message == "accepted at /flagsmith/webhook; the secret has 32 characters"


def test_another_environment_than_in_the_snapshot_file_fails(
    flagsmith: MisbehavingFlagsmith, emulator: Emulator, tmp_path: Path
) -> None:
    settings = {**flagsmith.config, "FLAGSMITH_SNAPSHOT_FILE": tmp_path / "flags"}
    document = API(read_config(emulator.config)).fetch()
    kept = SnapshotFile(str(tmp_path / "flags"), flagsmith.server_side_key)
    kept.write(document)
    found = [found for found in findings(app_with(settings)) if found["level"] == "failed"]
    assert [f["check"] for f in found] == ["file"]
    assert "are of different environments" in found[0]["message"]


@pytest.mark.parametrize(
    ("kept", "answered", "now", "levels"),
    [
        (100.0, 100.0, 1000.0, []),
        (100.0, 200.0, 210.0, []),
        (100.0, 200.0, 1000.0, ["warning"]),
        (200.0, 100.0, 1000.0, []),
        (None, 100.0, 1000.0, []),
        (100.0, None, 1000.0, []),
    ],
)
def test_a_snapshot_file_behind_the_api_is_a_warning(
    kept: float | None, answered: float | None, now: float, levels: list[str]
) -> None:
    snapshots = Snapshot({}, kept, 0.0, "id"), Snapshot({}, answered, 0.0, "id")
    assert [found.level for found in diagnose_kept(*snapshots, now)] == levels


def test_open_pages_need_a_worker_with_threads(emulator: Emulator) -> None:
    app = app_with(emulator.config, BROWSER_STREAMS=8)
    app.register_blueprint(FlagsmithRealtime().browser)
    finding = find(app, "browser")
    assert finding["level"] == "ok"
    assert "at most 8 event streams" in finding["message"]
    assert "--worker-class gthread" in finding["advice"]
