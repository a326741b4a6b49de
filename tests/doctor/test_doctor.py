"""``flask flagsmith doctor``: what it finds wrong, what it advises, and what it keeps to itself."""

from __future__ import annotations

import http.server
import json
import re
import ssl
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import Result
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime
from flask_flagsmith_realtime.config.settings import read_config
from flask_flagsmith_realtime.doctor import network as probes
from flask_flagsmith_realtime.doctor import servers as server_setup
from flask_flagsmith_realtime.doctor.findings import Finding, Level
from flask_flagsmith_realtime.doctor.network import Greeting, Reply
from flask_flagsmith_realtime.doctor.verdicts import (
    diagnose_addresses,
    diagnose_answer,
    diagnose_certificate,
    diagnose_clock,
    diagnose_greeting,
    diagnose_webhook,
)
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.model.snapshot import Snapshot
from tests.support.command_line import Directory
from tests.support.misbehaving import MisbehavingFlagsmith, Stream, answers
from tests.support.paths import DOCS
from tests.support.redis_server import RedisServer

Found = dict[str, Any]


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def app_with(settings: dict[str, Any], **more: Any) -> Flask:
    app = Flask("shop")
    app.config.update(settings, FLAGSMITH_AUTOSTART=False)
    app.config.update({f"FLAGSMITH_{name}": value for name, value in more.items()})
    FlagsmithRealtime(app)
    return app


def examine(app: Flask) -> Result:
    return app.test_cli_runner().invoke(args=["flagsmith", "doctor"])


def findings(app: Flask) -> list[Found]:
    result = app.test_cli_runner().invoke(args=["flagsmith", "doctor", "--json"])
    found: list[Found] = json.loads(result.stdout)
    assert result.exit_code == any(finding["level"] == "failed" for finding in found)
    return found


def find(app: Flask, check: str) -> Found:
    return next(finding for finding in findings(app) if finding["check"] == check)


# All of it


def test_a_healthy_app_is_ok_on_every_line(emulator: Emulator) -> None:
    result = examine(app_with(emulator.config))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert all(line.startswith(("ok ", " ")) for line in lines)
    checks = [line[8:18].strip() for line in lines if line[8:18].strip()]
    assert checks == ["settings", "key", "DNS", "API", "clock", "project", "stream", "server"]
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


def test_it_costs_one_call_of_the_api_with_the_key_and_one_stream(
    flagsmith: MisbehavingFlagsmith,
) -> None:
    findings(app_with(flagsmith.config))
    with_key = [call for call in flagsmith.calls if "x-environment-key" in call.headers]
    assert [call.path for call in with_key] == ["/api/v1/environment-document/"]
    assert flagsmith.stream.count == 1
    assert flagsmith.leaks == []


def test_under_test_it_says_so_and_goes_on(emulator: Emulator) -> None:
    app = app_with({**emulator.config, "TESTING": True})
    assert find(app, "testing")["level"] == "warning"
    assert find(app, "API")["level"] == "ok"


def test_an_app_that_does_not_load_is_examined_all_the_same(tmp_path: Path) -> None:
    directory = Directory(tmp_path, {"FLAGSMITH_API_URL": "localhost:8000"})
    result = directory.flask("flagsmith", "doctor")
    assert result.returncode == 1
    assert result.stdout.startswith("failed  settings  FLAGSMITH_API_URL must be")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def app(:\n", "the app does not load: SyntaxError: invalid syntax (app.py, line 1)"),
        (
            "import no_such_module\n",
            "the app does not load: ModuleNotFoundError: No module named 'no_such_module' "
            "(app.py, line 1)",
        ),
        ("x = 1\nraise ValueError('pass' + 'word')\n", "the app does not load: ValueError"),
        ("import sys\nsys.exit('password')\n", "the app does not load: SystemExit"),
        ("x = 1\n", "the app does not load: Failed to find Flask application or factory"),
    ],
    ids=["syntax", "import", "value", "exit", "no-app"],
)
def test_an_app_that_fails_by_itself_is_a_finding(
    tmp_path: Path, source: str, message: str
) -> None:
    result = Directory(tmp_path, source=source).flask("flagsmith", "doctor", "--json")
    assert result.returncode == 1
    (found,) = json.loads(result.stdout)
    assert (found["level"], found["check"]) == ("failed", "app")
    assert found["message"].startswith(message)
    assert "'flask routes' shows all that is said of it" in found["advice"]
    assert "password" not in result.stdout
    assert not result.stderr


def test_an_error_of_the_apps_own_is_named_with_its_place(tmp_path: Path) -> None:
    source = "def load():\n    raise KeyError('SECRET')\n\nload()\n"
    result = Directory(tmp_path, source=source).flask("flagsmith", "doctor")
    assert "the app does not load: KeyError (app.py, line 2)" in result.stdout


def test_a_setting_with_a_typo_is_a_warning(emulator: Emulator) -> None:
    found = find(app_with(emulator.config, STRIKT=True), "settings")
    assert found["level"] == "warning"
    assert found["message"] == "FLAGSMITH_STRIKT is not a setting of this package"
    assert found["advice"] == "did you mean FLAGSMITH_STRICT?"


def test_an_offline_file_is_all_there_is_to_check(tmp_path: Path, emulator: Emulator) -> None:
    file = tmp_path / "environment.json"
    file.write_text(json.dumps(emulator.document))
    found = findings(app_with({"FLAGSMITH_OFFLINE_FILE": str(file)}))
    assert [finding["check"] for finding in found] == ["settings", "offline", "server"]


# The key and the API


def test_a_client_side_key_is_explained(emulator: Emulator) -> None:
    found = find(app_with(emulator.config, ENVIRONMENT_KEY=emulator.client_side_key), "key")
    assert found["level"] == "ok"
    assert "remote evaluation" in found["message"]
    assert "use a server-side key; it starts with 'ser.'" in found["advice"]


def test_a_key_of_another_environment_is_told_from_a_wrong_url(emulator: Emulator) -> None:
    app = app_with(emulator.config, ENVIRONMENT_KEY="ser.of-another-environment")
    found = find(app, "API")
    assert found["level"] == "failed"
    assert "refused the server-side key (ser.…, 26 characters)" in found["message"]
    assert "There is a Flagsmith at FLAGSMITH_API_URL: so it is about the key" in found["advice"]
    assert find(app, "stream")["level"] == "warning"


def test_a_url_without_its_path_is_completed(emulator: Emulator) -> None:
    found = find(app_with(emulator.config, API_URL=emulator.url), "API")
    assert found["level"] == "failed"
    assert (
        found["advice"]
        == f"There is a Flagsmith at {emulator.api_url}: set FLAGSMITH_API_URL to that."
    )


def test_a_page_instead_of_an_api_is_called_that(flagsmith: MisbehavingFlagsmith) -> None:
    for endpoint in (flagsmith.environment_document, flagsmith.flags, flagsmith.other):
        endpoint.always(answers.html(200))
    found = find(app_with(flagsmith.config), "API")
    assert found["level"] == "failed"
    assert "ends in /api/v1/" in found["advice"]


def test_an_api_that_is_not_running_is_said_to_be_so(emulator: Emulator) -> None:
    app = app_with(emulator.config, API_URL="http://127.0.0.1:9/api/v1/")
    found = find(app, "API")
    assert "connection refused" in found["message"]
    assert "Check that Flagsmith is running there" in found["advice"]


def test_a_host_that_does_not_exist_fails_by_name(emulator: Emulator) -> None:
    url = "http://flagsmith.invalid/api/v1/"
    found = [f for f in findings(app_with(emulator.config, API_URL=url)) if f["check"] == "DNS"]
    assert found[0]["level"] == "failed"
    assert found[0]["message"] == "flagsmith.invalid cannot be resolved"


def test_a_stream_whose_host_does_not_exist_is_a_warning(emulator: Emulator) -> None:
    url = "http://stream.invalid/"
    found = findings(app_with(emulator.config, REALTIME_API_URL=url))
    assert [f["level"] for f in found if f["check"] == "DNS"] == ["ok", "warning"]
    assert not any(finding["level"] == "failed" for finding in found)


def test_http_to_another_machine_is_a_warning(emulator: Emulator) -> None:
    # A name of this machine that is not one of those for loopback.
    app = app_with(emulator.config, API_URL="http://127.0.0.2:9/api/v1/")
    assert "anybody on the way can read" in find(app, "TLS")["message"]


def test_an_answer_without_an_epoch_is_a_warning() -> None:
    found = diagnose_answer(Snapshot({}, None, 0.0, "id"), 0.01, 0.0)
    assert found.level is Level.WARNING
    assert "X-Flagsmith-Document-Updated-At" in (found.advice or "")


def test_ones_own_api_with_the_hosted_stream_is_a_warning() -> None:
    settings = {"FLAGSMITH_ENVIRONMENT_KEY": "ser.key"}
    assert not list(diagnose_addresses(read_config(settings)))
    settings["FLAGSMITH_API_URL"] = "https://flags.example.com/api/v1/"
    (found,) = diagnose_addresses(read_config(settings))
    assert found.level is Level.WARNING
    assert "flags.example.com and the stream realtime.flagsmith.com" in found.message


# The clock


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [
        (0.4, Level.OK, "agrees"),
        (-9.0, Level.OK, "agrees"),
        (90.0, Level.WARNING, "90 s behind the API's"),
        (-90.0, Level.WARNING, "90 s ahead of the API's"),
        (None, Level.WARNING, "does not tell the time"),
    ],
)
def test_the_clock_is_judged(ahead: float | None, level: Level, words: str) -> None:
    found = diagnose_clock(Reply(403, "application/json", ahead))
    assert found.level is level
    assert words in found.message


@pytest.mark.parametrize(
    ("headers", "ahead"),
    [
        ({"Date": lambda: formatdate(time.time() + 100, usegmt=True)}, 100.0),
        ({"Date": lambda: formatdate(time.time() - 60, usegmt=True), "Age": lambda: "60"}, 0.0),
        ({"Date": lambda: "yesterday"}, None),
        ({}, None),
    ],
)
def test_the_clock_is_compared_with_the_date_of_an_answer(
    headers: dict[str, Callable[[], str]], ahead: float | None
) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(403)
            for name, content in headers.items():
                self.send_header(name, content())
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/api/v1/"
        reply = probes.ask_without_key(read_config({"FLAGSMITH_ENVIRONMENT_KEY": "key"}), url)
        thread.join()
    assert reply.ahead == (None if ahead is None else pytest.approx(ahead, abs=2.0))


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_flagsmith(authority: trustme.CA, days: int = 90) -> MisbehavingFlagsmith:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    expiry = datetime.now(timezone.utc) + timedelta(days=days, hours=1)
    authority.issue_cert("127.0.0.1", not_after=expiry).configure_cert(context)
    return MisbehavingFlagsmith(tls=context)


def test_a_certificate_of_an_unknown_authority_fails(authority: trustme.CA) -> None:
    with tls_flagsmith(authority) as running:
        found = find(app_with(running.config), "TLS")
        assert not running.calls
    assert found["level"] == "failed"
    assert "certificate" in found["message"]
    assert "REQUESTS_CA_BUNDLE" in found["advice"]


def test_a_certificate_is_good_until_its_date(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with tls_flagsmith(authority) as running:
        assert "certificate valid until" in find(app_with(running.config), "TLS")["message"]
    with tls_flagsmith(authority, days=3) as running:
        found = find(app_with(running.config), "TLS")
    assert found["level"] == "warning"
    assert "expires in 3 days" in found["message"]


def test_a_certificate_is_judged_by_its_days() -> None:
    assert diagnose_certificate("host", 15 * 86400.0, 0.0).level is Level.OK
    assert diagnose_certificate("host", 13 * 86400.0, 0.0).level is Level.WARNING


# The stream


def test_a_project_with_real_time_updates_off_is_named(emulator: Emulator) -> None:
    document = json.loads(json.dumps(emulator.document))
    document["project"]["enable_realtime_updates"] = False
    with Emulator(document=document) as running:
        app = app_with(running.config)
        project, stream = find(app, "project"), find(app, "stream")
    assert project["level"] == stream["level"] == "warning"
    assert "Turn on 'Enable real-time updates'" in project["advice"]
    assert "it answers 403" in stream["message"]
    assert "Flags are fetched every 60 s instead" in stream["advice"]


def test_a_plan_without_a_stream_is_a_warning_that_names_it(
    flagsmith: MisbehavingFlagsmith,
) -> None:
    flagsmith.stream.always(answers.status(404))
    found = find(app_with(flagsmith.config), "stream")
    assert found["level"] == "warning"
    assert "plan" in found["advice"]
    assert "'Enable real-time updates'" in found["advice"]


def test_a_stream_that_is_down_is_a_warning(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.stream_server.refuse()
    found = find(app_with(flagsmith.config), "stream")
    assert found["level"] == "warning"
    assert "not available" in found["message"]


def test_a_greeting_ahead_of_the_api_is_a_warning(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.stream.always(Stream(greeting=lambda epoch: epoch + 3600))
    found = find(app_with(flagsmith.config), "stream")
    assert found["level"] == "warning"
    assert "3600.0 s newer than the API's" in found["message"]


def test_a_stream_with_a_client_side_key_is_checked_without_the_api(
    flagsmith: MisbehavingFlagsmith,
) -> None:
    flagsmith.flags.always(answers.status(500))
    settings = {**flagsmith.config, "FLAGSMITH_ENVIRONMENT_KEY": flagsmith.client_side_key}
    assert find(app_with(settings), "stream")["level"] == "ok"


def test_real_time_updates_that_are_off_by_choice_are_ok(emulator: Emulator) -> None:
    found = find(app_with(emulator.config, ENABLE_REALTIME_UPDATES=False), "stream")
    assert found["level"] == "ok"
    assert "fetched every 60 s" in found["message"]
    assert emulator.streams_opened == 0


def test_a_stream_without_a_greeting_is_given_up_in_time() -> None:
    # Its heartbeats are no greeting.
    with Emulator(greeting=False, heartbeat_seconds=0.05) as running:
        config = read_config(running.config)
        assert probes.greet(config, running.client_side_key, 0.3) == Greeting(False)
        assert running.wait_for_streams(0)


@pytest.mark.parametrize(
    ("greeting", "held", "level"),
    [
        (Greeting(False), 10.0, Level.OK),
        (Greeting(True), 10.0, Level.OK),
        (Greeting(True, 10.0), None, Level.OK),
        (Greeting(True, 9.0), 10.5, Level.OK),
        (Greeting(True, 10.5), 10.5, Level.OK),
        (Greeting(True, 11.5), 10.5, Level.WARNING),
    ],
)
def test_greetings_are_judged(greeting: Greeting, held: float | None, level: Level) -> None:
    assert diagnose_greeting(greeting, held).level is level


# Files, Redis, webhooks


def test_a_snapshot_file_in_no_directory_fails(emulator: Emulator, tmp_path: Path) -> None:
    good = find(app_with(emulator.config, SNAPSHOT_FILE=tmp_path / "flags"), "file")
    assert good["level"] == "ok"
    bad = find(app_with(emulator.config, SNAPSHOT_FILE=tmp_path / "no" / "flags"), "file")
    assert bad["level"] == "failed"


def test_webhooks_need_a_route_and_a_long_secret(emulator: Emulator) -> None:
    app = app_with(emulator.config, WEBHOOK_SECRET="s3cret")
    assert "takes no webhooks" in find(app, "webhook")["message"]

    flagsmith = FlagsmithRealtime()
    app = Flask("shop")
    app.config.update(emulator.config, FLAGSMITH_AUTOSTART=False, FLAGSMITH_WEBHOOK_SECRET="s3cret")
    flagsmith.init_app(app)
    app.register_blueprint(flagsmith.webhook)
    found = find(app, "webhook")
    assert (found["level"], found["message"][-17:]) == ("warning", "it can be guessed")

    found = diagnose_webhook("x" * 32, ["/flagsmith/webhook"])
    assert found.level is Level.OK
    assert found.message == "taken at /flagsmith/webhook; the secret has 32 characters"


def test_redis_is_asked_for_all_that_a_fleet_does_there(
    emulator: Emulator, redis_server: RedisServer
) -> None:
    app = app_with(emulator.config, REDIS_URL=redis_server.url)
    found = find(app, "Redis")
    assert found["level"] == "ok"
    assert f"127.0.0.1:{redis_server.port}" in found["message"]
    assert redis_server.client.keys() == []
    redis_server.stop()
    found = find(app, "Redis")
    assert found["level"] == "failed"
    assert found["message"].endswith("cannot be used: connection refused")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("CONFIG SET maxmemory 1", "it is full: it has reached its maxmemory"),
        ("REPLICAOF 127.0.0.1 9", "it is read-only: a replica"),
        ("CONFIG SET requirepass sesame", "it does not accept the user name and the password"),
        ("ACL SETUSER default -hset", "its user lacks a permission; the keys"),
        ("ACL SETUSER default -hstrlen", "its user lacks a permission; the keys"),
        ("ACL SETUSER default -del", "its user lacks a permission; the keys"),
        ("ACL SETUSER default -eval -evalsha", "its user lacks a permission; the keys"),
        ("ACL SETUSER default resetchannels", "its user lacks a permission; the keys"),
        ("ACL SETUSER default resetkeys ~shop:*", "its user lacks a permission; the keys"),
    ],
)
def test_a_redis_that_answers_but_cannot_be_used_fails(
    emulator: Emulator, redis_server: RedisServer, command: str, words: str
) -> None:
    redis_server.client.execute_command(command)
    found = find(app_with(emulator.config, REDIS_URL=redis_server.url), "Redis")
    assert found["level"] == "failed"
    assert f"cannot be used: {words}" in found["message"]
    assert "Until then each process has a stream of its own" in found["advice"]


def test_the_rights_of_the_documentation_are_enough(
    emulator: Emulator, redis_server: RedisServer
) -> None:
    page = DOCS / "fleet.rst"
    rights = re.search(r"ACL SETUSER flags on >a-long-password (.*?)\n\n", page.read_text(), re.S)
    assert rights is not None
    words = rights[1].replace("\\", " ").split()
    redis_server.client.execute_command("ACL", "SETUSER", "flags", "on", ">a-password", *words)
    url = f"redis://flags:a-password@127.0.0.1:{redis_server.port}/0"
    found = find(app_with(emulator.config, REDIS_URL=url), "Redis")
    assert found["level"] == "ok", found["message"]
    assert redis_server.client.keys() == []
    assert "a-password" not in found["message"]


# The server's set-up


def setup(directory: Path, **environ: str) -> list[tuple[str, str]]:
    found = server_setup.examine(directory, environ, shares_a_stream=False)
    return [(finding.level.value, finding.message) for finding in found]


def only(found: list[Finding]) -> Finding:
    (finding,) = found
    return finding


def test_without_a_servers_files_there_is_nothing_to_say(tmp_path: Path) -> None:
    ((level, message),) = setup(tmp_path)
    assert level == "ok"
    assert "nothing to check" in message


def test_gunicorns_file_is_read_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(
        "import os\nworkers = 4\nbind = os.environ['PORT']\npreload_app = True\n1 / 0\n"
    )
    ((level, message),) = setup(tmp_path)
    assert level == "ok"
    assert message.startswith("Gunicorn, 4 workers of class sync, preloaded")


def test_gunicorns_arguments_count_more_than_its_file(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("worker_class = 'sync'\n")
    arguments = "--worker-class=eventlet -w 3 --bind :80"
    ((level, message),) = setup(tmp_path, GUNICORN_CMD_ARGS=arguments)
    assert level == "warning"
    assert "3 workers of class eventlet" in message


@pytest.mark.parametrize("text", ["workers = ", "workers = os.cpu_count()", ""])
def test_odd_gunicorn_files_are_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(text)
    assert setup(tmp_path)[0][1].startswith(("Gunicorn, ", "gunicorn.conf.py"))


def test_several_workers_are_told_of_redis() -> None:
    alone = only(server_setup.diagnose_gunicorn("workers = 4", "", shares_a_stream=False))
    assert "4 calls of the API. FLAGSMITH_REDIS_URL" in (alone.advice or "")
    assert (
        only(server_setup.diagnose_gunicorn("workers = 4", "", shares_a_stream=True)).advice is None
    )
    assert only(server_setup.diagnose_gunicorn("", "", shares_a_stream=False)).advice is None


@pytest.mark.parametrize(
    ("settings", "level", "words"),
    [
        ("master = true", "failed", "without Python's threads"),
        ("enable-threads = false\nmaster = true", "failed", "without Python's threads"),
        ("enable-threads\nmaster = true\nprocesses = 2", "ok", "uWSGI, 2 workers with threads"),
        ("threads = 4\nmaster = 1\nplugin = a\nplugin = b", "ok", "uWSGI, 1 worker with threads"),
        ("enable-threads = true", "warning", "without a master process"),
        ("enable-threads = true\nlazy-apps = true", "ok", "uWSGI"),
        ("no-section]", "failed", "threads"),
    ],
)
def test_uwsgis_file_is_judged(tmp_path: Path, settings: str, level: str, words: str) -> None:
    (tmp_path / "uwsgi.ini").write_text(f"[uwsgi]\nmodule = app:app\n{settings}\n")
    ((found, message),) = setup(tmp_path)
    assert found == level
    assert words in message


def test_files_that_cannot_be_read_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "uwsgi.ini").write_bytes(b"\xff\xfe")
    assert setup(tmp_path)[0][0] == "warning"
    (tmp_path / "uwsgi.ini").write_text("module = app:app\n")
    assert setup(tmp_path)[0][0] == "warning"
