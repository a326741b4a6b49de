"""Log handlers and filters of the app that raise, want a request, or block: flags follow, signals
are sent, and no read fails.
"""

from __future__ import annotations

import hmac
import json
import logging
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from flask import Flask, request

from flask_flagsmith_realtime import FlagsmithRealtime, flags, flags_changed, logs
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.apps import MakeApp, Received, read_flag
from tests.support.paths import ROOT
from tests.support.waiting import PATIENCE_SECONDS, eventually

PACKAGE = ROOT / "flask_flagsmith_realtime"


class RaisingHandler(logging.Handler):
    """A handler whose server is not there."""

    def emit(self, record: logging.LogRecord) -> None:
        raise LookupError("no log server")


class RequestFilter(logging.Filter):
    """A filter that adds the URL to each record, also outside a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.url = request.url
        return True


class BlockingHandler(logging.Handler):
    """A handler whose server does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.goes_on = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.entered.set()
        self.goes_on.wait(PATIENCE_SECONDS)


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The package's logger, on which each line counts."""
    logger = logging.getLogger("flask_flagsmith_realtime")
    level, handlers = logger.level, list(logger.handlers)
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture(params=["handler", "filter"])
def _failing_log(logger: logging.Logger, request: pytest.FixtureRequest) -> None:
    """A log that raises at each line."""
    handler: logging.Handler = RaisingHandler()
    if request.param == "filter":
        handler = logging.StreamHandler()
        handler.addFilter(RequestFilter())
    logger.addHandler(handler)


@pytest.fixture
def blocking_handler(logger: logging.Logger) -> Iterator[BlockingHandler]:
    handler = BlockingHandler()
    logger.addHandler(handler)
    yield handler
    handler.goes_on.set()
    # Lines that wait are written before the next test looks at the log.
    logs.flush(PATIENCE_SECONDS)


def test_every_module_logs_safely() -> None:
    modules = {path: path.read_text() for path in PACKAGE.rglob("*.py")}
    plain = [path.name for path, text in modules.items() if "logger = logging.getLogger" in text]
    assert plain == []


@pytest.mark.usefixtures("_failing_log")
def test_an_app_starts(make_app: MakeApp, emulator: Emulator) -> None:
    # Remote evaluation is logged at the start, and so is an unknown setting.
    key = emulator.client_side_key
    app = make_app(ENVIRONMENT_KEY=key, ENABLE_REALTIME_UPDATE=True)
    assert read_flag(app, "banner_text")


@pytest.mark.usefixtures("_failing_log")
def test_a_missing_feature_reads_as_disabled(make_app: MakeApp) -> None:
    assert not read_flag(make_app(), "no_such_feature")


@pytest.mark.usefixtures("_failing_log")
def test_an_identity_loader_that_raises_fails_no_read(make_app: MakeApp) -> None:
    flagsmith = FlagsmithRealtime()

    @flagsmith.identity_loader
    def load() -> None:
        raise LookupError("no session")

    app = make_app(flagsmith)
    with app.test_request_context():
        assert flags["banner_text"]
    assert read_flag(app, "banner_text")


@pytest.mark.usefixtures("_failing_log")
def test_changes_are_served_signalled_and_kept(
    make_app: MakeApp, emulator: Emulator, tmp_path: Path
) -> None:
    file = tmp_path / "flags.json"
    app = make_app(SNAPSHOT_FILE=str(file))
    changed = Received(flags_changed, app)
    assert emulator.wait_for_streams(1)
    emulator.set_flag("banner_text", value="new")
    change = changed.wait_for(lambda content: "banner_text" in content["changes"])
    assert change["changes"]["banner_text"].after.value == "new"
    assert read_flag(app, "banner_text").value == "new"
    eventually(lambda: json.dumps("new") in file.read_text())


@pytest.mark.usefixtures("_failing_log")
def test_a_webhook_is_answered(make_app: MakeApp) -> None:
    flagsmith = FlagsmithRealtime()
    app = make_app(flagsmith, WEBHOOK_SECRET="secret")
    app.register_blueprint(flagsmith.webhook)
    signature = hmac.new(b"secret", b"{}", "sha256").hexdigest()
    for headers, status in (({}, 403), ({"X-Flagsmith-Signature": signature}, 200)):
        answer = app.test_client().post("/flagsmith/webhook", data=b"{}", headers=headers)
        assert answer.status_code == status


def test_flags_follow_behind_a_blocked_log_while_the_file_cannot_be_written(
    make_app: MakeApp, emulator: Emulator, tmp_path: Path, blocking_handler: BlockingHandler
) -> None:
    app = make_app(SNAPSHOT_FILE=str(tmp_path / "no-such-directory" / "flags.json"))
    assert emulator.wait_for_streams(1)
    for number in range(3):
        emulator.set_flag("banner_text", value=f"number {number}")
        eventually(partial(reads, app, f"number {number}"))
    assert blocking_handler.entered.wait(PATIENCE_SECONDS)


def reads(app: Flask, value: str) -> bool:
    return read_flag(app, "banner_text").value == value
