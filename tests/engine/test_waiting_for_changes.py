"""Waiting for a change: the event streams of browsers do it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, snapshot_refreshed
from flask_flagsmith_realtime.app_state import state_of
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.engine import Engine
from tests.support.apps import MakeApp, Received
from tests.support.waiting import PATIENCE_SECONDS


def start(make_app: MakeApp, **settings: Any) -> tuple[Flask, Engine]:
    """An app and its engine, which has announced its first snapshot."""
    app = make_app(AUTOSTART=False, **settings)
    # A reader gets it before it is announced.
    announced = Received(snapshot_refreshed, app)
    FlagsmithRealtime().start(app)
    announced.wait()
    return app, state_of(app).engine


def test_a_wait_ends_with_the_next_change(make_app: MakeApp, emulator: Emulator) -> None:
    _, engine = start(make_app)
    known = engine.wait_for_change(None, PATIENCE_SECONDS)
    with ThreadPoolExecutor() as pool:
        waits = [pool.submit(engine.wait_for_change, known, PATIENCE_SECONDS) for _ in range(3)]
        emulator.set_flag("banner_text", value="changed")
        found = {wait.result() for wait in waits}
    assert len(found) == 1
    assert found != {known}
    snapshot = engine.read()
    assert snapshot is not None
    assert snapshot.flags["banner_text"].value == "changed"


def test_a_refetch_without_a_change_ends_no_wait(make_app: MakeApp) -> None:
    app, engine = start(
        make_app, ENVIRONMENT_REFRESH_INTERVAL_SECONDS=0.1, ENABLE_REALTIME_UPDATES=False
    )
    known = engine.wait_for_change(None, 0)
    Received(snapshot_refreshed, app).wait(3)
    assert engine.wait_for_change(known, 0) is known


def test_a_stop_ends_the_waits(make_app: MakeApp) -> None:
    app, engine = start(make_app)
    known = engine.wait_for_change(None, 0)
    with ThreadPoolExecutor() as pool:
        wait = pool.submit(engine.wait_for_change, known, PATIENCE_SECONDS)
        FlagsmithRealtime().stop(app)
        assert wait.result() is None
    assert engine.wait_for_change(known, PATIENCE_SECONDS) is None
