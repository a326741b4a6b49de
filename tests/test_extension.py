"""Initializing apps: factories, several apps, wrong uses."""

from __future__ import annotations

import gc
import logging
import threading
import weakref

import pytest
from flask import Flask

from flask_flagsmith_realtime import (
    ConfigError,
    FlagChange,
    FlagsmithRealtime,
    NotInitializedError,
    flags,
    flags_changed,
)
from flask_flagsmith_realtime.app_state import EXTENSION
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.apps import MakeApp, Received
from tests.support.logs import events
from tests.support.waiting import PATIENCE_SECONDS


def test_the_constructor_initializes_the_app(emulator: Emulator) -> None:
    app = Flask("shop")
    app.config.update(emulator.config, FLAGSMITH_STARTUP_TIMEOUT_SECONDS=PATIENCE_SECONDS)
    flagsmith = FlagsmithRealtime(app)
    with app.app_context():
        assert flags.get_feature_value("banner_text")
    flagsmith.stop(app)


def test_one_extension_serves_two_apps_with_flags_of_their_own(make_app: MakeApp) -> None:
    with Emulator() as other:
        other.set_flag("banner_text", value="of the other")
        flagsmith = FlagsmithRealtime()
        first = make_app(flagsmith)
        second = make_app(
            flagsmith,
            ENVIRONMENT_KEY=other.server_side_key,
            API_URL=other.api_url,
            REALTIME_API_URL=other.realtime_api_url,
        )
        heard_by_first = Received(flags_changed, first)
        heard_by_second = Received(flags_changed, second)
        with first.app_context():
            assert flags["banner_text"].value != "of the other"
        with second.app_context():
            assert flags["banner_text"].value == "of the other"
        assert other.wait_for_streams(1)
        other.set_flag("banner_text", value="new")
        assert heard_by_second.wait()["changes"]["banner_text"].after.value == "new"
        assert not heard_by_first.all
        flagsmith.stop(second)


def test_two_extensions_in_one_process(make_app: MakeApp) -> None:
    first, second = make_app(), make_app()
    with first.app_context():
        assert "banner_text" in flags
    with second.app_context():
        assert "banner_text" in flags


def test_initializing_an_app_twice_is_an_error(make_app: MakeApp) -> None:
    app = make_app()
    with pytest.raises(ConfigError):
        FlagsmithRealtime(app)


def test_reading_flags_outside_an_app_context_is_an_error() -> None:
    with pytest.raises(NotInitializedError):
        flags.is_feature_enabled("new_checkout")
    assert repr(flags) == "<flags, outside an app context>"


def test_reading_flags_of_an_app_without_the_extension_is_an_error() -> None:
    with (
        Flask("shop").app_context(),
        pytest.raises(NotInitializedError, match=r"'shop' has no flags: call FlagsmithRealtime"),
    ):
        flags.is_feature_enabled("new_checkout")


def test_an_unknown_setting_is_logged(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        make_app(STRIKT=True)
    assert events(caplog) == ["setting_unknown"]


def test_an_app_under_test_starts_nothing_and_serves_defaults(emulator: Emulator) -> None:
    app = Flask("shop")
    app.config.update(emulator.config, TESTING=True, FLAGSMITH_DEFAULTS={"banner_text": "Hi"})
    FlagsmithRealtime(app)
    with app.app_context():
        assert flags["banner_text"].value == "Hi"
        assert not flags["new_checkout"]
    assert not emulator.calls
    assert emulator.streams_opened == 0


def test_an_app_under_test_needs_no_key() -> None:
    app = Flask("shop")
    app.testing = True
    FlagsmithRealtime(app)
    with app.app_context():
        assert not flags["new_checkout"]


def test_an_app_that_is_set_to_testing_later_stops(make_app: MakeApp) -> None:
    app = make_app()
    app.testing = True
    with app.app_context():
        assert not flags["banner_text"]


def test_an_app_under_test_can_be_started_explicitly(emulator: Emulator) -> None:
    app = Flask("shop")
    app.config.update(
        emulator.config, TESTING=True, FLAGSMITH_STARTUP_TIMEOUT_SECONDS=PATIENCE_SECONDS
    )
    flagsmith = FlagsmithRealtime(app)
    flagsmith.start(app)
    with app.app_context():
        assert flags["banner_text"]
    flagsmith.stop(app)


def test_without_autostart_the_first_read_starts_the_engine(
    make_app: MakeApp, emulator: Emulator
) -> None:
    app = make_app(AUTOSTART=False)
    assert not emulator.calls
    with app.app_context():
        assert flags["banner_text"]
    assert emulator.wait_for_streams(1)


@pytest.mark.parametrize("runs", [False, True])
def test_an_unreferenced_app_is_freed(emulator: Emulator, runs: bool) -> None:
    def create_app() -> Flask:
        app = Flask("shop")
        app.config.update(emulator.config, TESTING=not runs)
        flagsmith = FlagsmithRealtime(app)

        @flagsmith.on_change("banner_text")
        def react(change: FlagChange) -> str:
            return app.name

        with app.app_context():
            flags.for_identity("alice").is_feature_enabled("new_checkout")
        flagsmith.stop(app)
        return app

    others = set(threading.enumerate())
    apps = [weakref.ref(create_app()) for _ in range(3)]
    for thread in set(threading.enumerate()) - others:
        if thread.name.startswith("flagsmith-"):
            thread.join(PATIENCE_SECONDS)
    gc.collect()
    assert [app() for app in apps] == [None, None, None]


def test_on_change_needs_no_reference_to_the_extension(emulator: Emulator) -> None:
    app, called = Flask("shop"), threading.Event()

    def set_up() -> None:
        app.config.update(emulator.config)
        FlagsmithRealtime(app).on_change("banner_text")(lambda change: called.set())

    set_up()
    gc.collect()
    assert emulator.wait_for_streams(1)
    emulator.set_flag("banner_text", value="new")
    assert called.wait(PATIENCE_SECONDS)
    app.extensions[EXTENSION].engine.stop()


def test_flask_shell_has_flags(make_app: MakeApp) -> None:
    assert make_app().make_shell_context()["flags"] is flags
