"""The signals, caused by real changes on a local Flagsmith."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from flask import Flask, current_app, g, has_app_context

from flask_flagsmith_realtime import (
    FetchError,
    FlagChange,
    FlagsmithRealtime,
    Snapshot,
    flags,
    flags_changed,
    refresh_failed,
    signals,
    snapshot_refreshed,
    stream_connected,
    stream_disconnected,
)
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.processes.threads import make_thread
from tests.support.apps import MakeApp, Received
from tests.support.waiting import PATIENCE_SECONDS


def test_a_change_has_the_flag_before_and_after(make_app: MakeApp, emulator: Emulator) -> None:
    emulator.set_flag("banner_text", enabled=True, value="before")
    app = make_app()
    changed = Received(flags_changed, app)
    assert emulator.wait_for_streams(1)
    epoch = emulator.set_flag("banner_text", value="after")
    content = changed.wait()
    assert set(content["changes"]) == {"banner_text"}
    change = content["changes"]["banner_text"]
    assert isinstance(change, FlagChange)
    assert (change.before.value, change.after.value) == ("before", "after")
    assert not change.targeting_changed
    assert isinstance(content["snapshot"], Snapshot)
    assert content["snapshot"].epoch == pytest.approx(epoch, abs=1e-6)
    assert content["previous"].flags["banner_text"].value == "before"


def test_new_and_removed_features(make_app: MakeApp, emulator: Emulator) -> None:
    app = make_app()
    changed = Received(flags_changed, app)
    assert emulator.wait_for_streams(1)
    emulator.set_flag("brand_new", enabled=True)
    change = changed.wait(1)["changes"]["brand_new"]
    assert change.before is None
    assert change.after
    emulator.delete_flag("brand_new")
    change = changed.wait(2)["changes"]["brand_new"]
    assert change.before
    assert change.after is None


def test_changed_segment_is_a_change_of_its_features(make_app: MakeApp, emulator: Emulator) -> None:
    app = make_app()
    changed = Received(flags_changed, app)
    assert emulator.wait_for_streams(1)
    emulator.set_segment(
        "anybody",
        [{"type": "ALL", "rules": [], "conditions": []}],
        {"banner_text": {"enabled": True, "value": "for some"}},
    )
    change = changed.wait()["changes"]["banner_text"]
    assert change.targeting_changed
    assert change.before == change.after


def test_the_first_snapshot_sends_no_change(make_app: MakeApp, emulator: Emulator) -> None:
    app = Flask("shop")
    changed, refreshed = Received(flags_changed, app), Received(snapshot_refreshed, app)
    connected = Received(stream_connected, app)
    app.config.update(emulator.config)
    flagsmith = FlagsmithRealtime(app)
    assert refreshed.wait()["snapshot"].flags
    connected.wait()
    assert not changed.all
    flagsmith.stop(app)


def test_stream_signals_carry_the_reason(make_app: MakeApp, emulator: Emulator) -> None:
    app = make_app()
    connected, disconnected = Received(stream_connected, app), Received(stream_disconnected, app)
    assert emulator.wait_for_streams(1)
    emulator.end_streams()
    assert disconnected.wait()["reason"] == "the server ended the connection"
    connected.wait()


def test_failed_refresh_carries_the_error(emulator: Emulator) -> None:
    app = Flask("shop")
    failed = Received(refresh_failed, app)
    app.config.update(emulator.config, FLAGSMITH_ENVIRONMENT_KEY="ser.wrong")
    flagsmith = FlagsmithRealtime(app)
    error = failed.wait()["error"]
    assert "403" in str(error)
    assert "FLAGSMITH_ENVIRONMENT_KEY" in str(error)
    assert "ser.wrong" not in str(error)
    flagsmith.stop(app)


def test_a_failing_receiver_is_logged_and_stops_no_other(
    make_app: MakeApp, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()

    @flags_changed.connect_via(app)
    def breaks(app: Flask, **_: Any) -> None:
        raise RuntimeError("broken receiver")

    changed = Received(flags_changed, app)
    assert emulator.wait_for_streams(1)
    with caplog.at_level(logging.ERROR):
        emulator.set_flag("banner_text", value="one")
        changed.wait(1)
        emulator.set_flag("banner_text", value="two")
        changed.wait(2)
    assert "breaks, a receiver of flagsmith-flags-changed, failed" in caplog.text
    assert "broken receiver" in caplog.text


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
def test_receiver_that_means_to_end_more_than_itself_does_not(
    make_app: MakeApp,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
) -> None:
    flagsmith = FlagsmithRealtime()

    @flagsmith.on_change("banner_text")
    def breaks(change: FlagChange) -> None:
        raise error

    app = make_app(flagsmith)
    changed = Received(flags_changed, app)
    assert emulator.wait_for_streams(1)
    emulator.set_flag("banner_text", value="one")
    changed.wait(1)
    emulator.set_flag("banner_text", value="two")
    changed.wait(2)
    with app.app_context():
        assert flags["banner_text"].value == "two"
        assert flagsmith.status.running
    assert "breaks, called on a change of banner_text, failed" in caplog.text


def test_what_ends_a_request_is_left_to_it(make_app: MakeApp) -> None:
    """A server ends a request that takes too long in whatever function it is."""
    app = make_app()

    @refresh_failed.connect_via(app)
    def times_out(app: Flask, **_: Any) -> None:
        raise SystemExit

    with app.test_request_context(), pytest.raises(SystemExit):
        signals.send(refresh_failed, app, error=None)


@pytest.mark.parametrize("error", [RuntimeError("broken teardown"), SystemExit(1)])
def test_failing_teardown_of_the_app_is_logged(
    make_app: MakeApp, emulator: Emulator, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    app = make_app()
    changed = Received(flags_changed, app)
    assert emulator.wait_for_streams(1)

    @app.teardown_appcontext
    def breaks(_: object) -> None:
        raise error

    emulator.set_flag("banner_text", value="one")
    changed.wait(1)
    emulator.set_flag("banner_text", value="two")
    changed.wait(2)
    assert "Sending flagsmith-flags-changed failed" in caplog.text


def test_receivers_run_in_an_app_context_with_the_new_flags(
    make_app: MakeApp, emulator: Emulator
) -> None:
    app = make_app()
    seen: list[object] = []
    done = threading.Event()

    @flags_changed.connect_via(app)
    def read(app: Flask, **_: Any) -> None:
        seen.extend([current_app.name, flags["banner_text"].value])
        done.set()

    assert emulator.wait_for_streams(1)
    emulator.set_flag("banner_text", value="new")
    assert done.wait(PATIENCE_SECONDS)
    assert seen == [app.name, "new"]


def test_async_receiver_runs(make_app: MakeApp, emulator: Emulator) -> None:
    app = make_app()
    done = threading.Event()

    @flags_changed.connect_via(app)
    async def react(app: Flask, **_: Any) -> None:
        done.set()

    assert emulator.wait_for_streams(1)
    emulator.set_flag("banner_text", value="new")
    assert done.wait(PATIENCE_SECONDS)


def test_on_change_is_called_for_its_feature_only(make_app: MakeApp, emulator: Emulator) -> None:
    flagsmith = FlagsmithRealtime()
    calls: list[FlagChange] = []
    called = threading.Event()

    @flagsmith.on_change("pricing")
    def breaks(change: FlagChange) -> None:
        raise RuntimeError("must not stop the next one")

    @flagsmith.on_change("pricing")
    def reprice(change: FlagChange) -> None:
        calls.append(change)
        called.set()

    app = make_app(flagsmith)
    changed = Received(flags_changed, app)
    assert emulator.wait_for_streams(1)
    emulator.set_flag("banner_text", value="new")
    changed.wait(1)
    emulator.set_flag("pricing", value="{}")
    assert called.wait(PATIENCE_SECONDS)
    assert [change.feature_name for change in calls] == ["pricing"]


def test_on_change_without_names_is_an_error() -> None:
    with pytest.raises(TypeError, match="on_change takes features' names"):
        FlagsmithRealtime().on_change()


def test_a_context_of_the_app_is_not_torn_down_by_a_signal(
    make_app: MakeApp, emulator: Emulator
) -> None:
    # Such as a request's, with its database session.
    app, other = make_app(), make_app()
    torn: list[object] = []
    seen: list[object] = []
    for one in (app, other):
        one.teardown_appcontext(torn.append)

    @refresh_failed.connect_via(app)
    def look(app: Flask, **_: Any) -> None:
        seen.append((current_app.name, g.get("who")))

    error = FetchError("down")
    with app.app_context():
        g.who = "alice"
        signals.send(refresh_failed, app, error=error)
        assert torn == []
    with other.app_context():
        signals.send(refresh_failed, app, error=error)
    assert seen == [(app.name, "alice"), (app.name, None)]


def test_a_thread_of_the_engine_inherits_no_request(make_app: MakeApp, emulator: Emulator) -> None:
    # gevent's do, and some Pythons': here the caller runs one itself.
    seen: list[bool] = []
    with make_app().app_context():
        make_thread("flagsmith-test", lambda: seen.append(has_app_context())).run()
    assert seen == [False]
