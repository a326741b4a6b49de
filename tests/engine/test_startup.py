"""A start in a bad world: nothing waits, defaults serve, and it recovers by itself."""

from __future__ import annotations

import logging
import socket
import threading
import time
from functools import partial

import pytest
from flask import Flask

from flask_flagsmith_realtime import (
    FeatureNotFoundError,
    FlagsmithRealtime,
    flags,
    flags_changed,
    refresh_failed,
)
from flask_flagsmith_realtime.config.settings import Config, read_config
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.engine import Engine, FlagsmithSource
from flask_flagsmith_realtime.engine.listener import Listener
from flask_flagsmith_realtime.engine.mailbox import Mailbox
from flask_flagsmith_realtime.monitoring.activity import Activity
from tests.support.apps import MakeApp, Received
from tests.support.logs import events
from tests.support.waiting import PATIENCE_SECONDS, eventually

#: For the stack of a thread: with it none can be started.
NO_MEMORY = 1 << 47


def test_unreachable_flagsmith_serves_defaults_and_recovers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Emulator() as gone:
        port = int(gone.url.rstrip("/").rsplit(":", 1)[1])
        settings = gone.config
    app = Flask("shop")
    app.config.update(
        settings,
        FLAGSMITH_STARTUP_TIMEOUT_SECONDS=0.1,
        FLAGSMITH_DEFAULTS={"banner_text": "by default"},
    )
    failed, changed = Received(refresh_failed, app), Received(flags_changed, app)
    flagsmith = FlagsmithRealtime(app)
    failed.wait(2)
    with app.app_context():
        assert flags["banner_text"].value == "by default"
        assert flags["banner_text"].is_default
        assert flags.epoch is None
    assert events(caplog) == ["fetch_trouble"]
    with Emulator(port=port):
        assert changed.wait()["previous"] is None
        with app.app_context():
            assert flags["banner_text"].value != "by default"
    eventually(lambda: "fetch_recovered" in events(caplog), lambda: caplog.text)
    flagsmith.stop(app)


def test_wrong_key_is_logged_with_what_to_check(
    make_app: MakeApp, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        app = make_app(ENVIRONMENT_KEY="ser.of-somewhere-else", STARTUP_TIMEOUT_SECONDS=0)
        Received(refresh_failed, app).wait()
    eventually(lambda: "refused the server-side key (ser.…, 21 characters)" in caplog.text)
    assert emulator.api_url in caplog.text
    assert "Check that FLAGSMITH_ENVIRONMENT_KEY" in caplog.text
    assert "of-somewhere-else" not in caplog.text


def test_only_the_first_read_waits_for_a_hanging_flagsmith() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        app = Flask("shop")
        app.config.update(
            FLAGSMITH_ENVIRONMENT_KEY="ser.key",
            FLAGSMITH_API_URL=f"http://127.0.0.1:{deaf.getsockname()[1]}/api/v1/",
            FLAGSMITH_STARTUP_TIMEOUT_SECONDS=0.3,
        )
        flagsmith = FlagsmithRealtime(app)
        times = []
        for _ in range(5):
            started = time.monotonic()
            with app.app_context():
                assert not flags["new_checkout"]
            times.append(time.monotonic() - started)
        assert times[0] > 0.2
        # Each of them would wait as long. The machine may hold up any, but not all.
        assert min(times[1:]) < times[0] / 2
        flagsmith.stop(app)


def test_what_cannot_start_is_tried_again_at_the_next_read(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    flagsmith = FlagsmithRealtime()
    app = make_app(flagsmith, AUTOSTART=False, DEFAULTS={"banner_text": "by default"})
    size = threading.stack_size(NO_MEMORY)
    try:
        for _ in range(2):
            with app.app_context():
                assert flags["banner_text"].value == "by default"
                assert not flagsmith.status.running
    finally:
        threading.stack_size(size)
    with app.app_context():
        assert not flags["banner_text"].is_default
        assert flagsmith.status.running
    assert caplog.text.count("The thread flagsmith-refresher cannot be started") == 1


def test_a_listener_that_cannot_start_is_tried_again_at_the_next_fetch(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    config = read_config(emulator.config)
    listener = Listener(config, Mailbox(), Activity())
    size = threading.stack_size(NO_MEMORY)
    try:
        for _ in range(2):
            listener.start(emulator.client_side_key)
    finally:
        threading.stack_size(size)
    assert emulator.streams_opened == 0
    listener.start(emulator.client_side_key)
    assert emulator.wait_for_streams(1)
    listener.stop()
    assert caplog.text.count("The thread flagsmith-listener cannot be started") == 1


class LateRealtime(Engine):
    """Is held up between the decision to start and the start."""

    def __init__(self, app: Flask, config: Config) -> None:
        super().__init__(app, config, partial(FlagsmithSource, config))
        self.is_about_to_start = threading.Event()
        self.goes_on = threading.Event()

    def start(self) -> None:
        self.is_about_to_start.set()
        self.goes_on.wait(PATIENCE_SECONDS)
        super().start()


def test_a_first_read_at_the_same_time_does_not_undo_a_stop(emulator: Emulator) -> None:
    app = Flask("shop")
    realtime = LateRealtime(app, read_config(emulator.config))
    reader = threading.Thread(target=realtime.read)
    reader.start()
    assert realtime.is_about_to_start.wait(PATIENCE_SECONDS)
    realtime.stop()
    realtime.goes_on.set()
    reader.join(PATIENCE_SECONDS)
    assert not realtime.status().running
    realtime.start_by_hand()
    assert realtime.status().running
    realtime.stop()


def test_a_stop_ends_the_wait_of_a_first_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        app = Flask("shop")
        app.config.update(
            FLAGSMITH_ENVIRONMENT_KEY="ser.key",
            FLAGSMITH_API_URL=f"http://127.0.0.1:{deaf.getsockname()[1]}/api/v1/",
            FLAGSMITH_STARTUP_TIMEOUT_SECONDS=2 * PATIENCE_SECONDS,
        )
        config = read_config(app.config)
        realtime = Engine(app, config, partial(FlagsmithSource, config))
        reader = threading.Thread(target=realtime.read)
        reader.start()
        deaf.accept()[0].close()
        realtime.stop()
        reader.join(PATIENCE_SECONDS)
        assert not reader.is_alive()


def test_strict_does_not_fail_before_flagsmith_has_answered(
    make_app: MakeApp, emulator: Emulator
) -> None:
    app = make_app(API_URL="http://127.0.0.1:9/api/v1/", STRICT=True, STARTUP_TIMEOUT_SECONDS=0)
    with app.app_context():
        assert not flags["new_checkout"]


def test_a_missing_feature_is_an_error_in_strict_mode(make_app: MakeApp) -> None:
    app = make_app(STRICT=True)
    with app.app_context():
        with pytest.raises(FeatureNotFoundError):
            flags.is_feature_enabled("new_chekout")
        assert flags.is_feature_enabled("new_chekout", default=True)


def test_a_missing_feature_is_disabled_and_logged_once(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()
    for _ in range(3):
        with app.app_context():
            flag = flags["new_chekout"]
            assert (flag.enabled, flag.value, flag.is_default) == (False, None, True)
    assert events(caplog) == ["feature_missing"]
