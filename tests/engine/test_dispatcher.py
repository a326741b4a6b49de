"""The dispatcher: no receiver holds up the flags, and none of their changes is lost."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
from flask import Flask

from flask_flagsmith_realtime import (
    FlagsmithRealtime,
    Snapshot,
    flags,
    flags_changed,
    signals,
    snapshot_refreshed,
)
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.engine import dispatcher as dispatcher_module
from flask_flagsmith_realtime.engine.dispatcher import Dispatcher
from flask_flagsmith_realtime.exceptions import FetchError
from flask_flagsmith_realtime.model import Flag, diff
from flask_flagsmith_realtime.monitoring import Activity
from flask_flagsmith_realtime.processes.watchdog import Watch, watch
from tests.support.apps import MakeApp, Received
from tests.support.waiting import PATIENCE_SECONDS, eventually

#: For the stack of a thread: with it none can be started.
NO_MEMORY = 1 << 47


class Block:
    """A receiver that runs until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.goes_on = threading.Event()

    def __call__(self, _app: Flask, **_: Any) -> None:
        self.entered.set()
        self.goes_on.wait(PATIENCE_SECONDS)


@pytest.fixture
def block() -> Iterator[Block]:
    made = Block()
    yield made
    made.goes_on.set()


def snapshot(epoch: float, **values: Any) -> Snapshot:
    made = {name: Flag(name, True, value) for name, value in values.items()}
    return Snapshot(flags=made, epoch=epoch, fetched_at=epoch, environment_id="environment")


@pytest.fixture
def app() -> Flask:
    return Flask("shop")


@pytest.fixture
def dispatcher(app: Flask) -> Dispatcher:
    return Dispatcher(app, Activity())


def change(dispatcher: Dispatcher, before: Snapshot | None, after: Snapshot) -> None:
    dispatcher.send(snapshot_refreshed, snapshot=after)
    dispatcher.send(
        flags_changed,
        changes=diff(before, after),
        snapshot=after,
        previous=before,
        leader=False,
    )


def app_with_a_blocked_receiver(
    make_app: MakeApp, flagsmith: FlagsmithRealtime, emulator: Emulator, block: Block
) -> Flask:
    app = make_app(flagsmith)
    assert emulator.wait_for_streams(1)
    flags_changed.connect(block, sender=app)
    emulator.set_flag("banner_text", value="one")
    assert block.entered.wait(PATIENCE_SECONDS)
    return app


def test_flags_follow_behind_a_receiver_that_blocks(
    make_app: MakeApp, emulator: Emulator, block: Block
) -> None:
    flagsmith = FlagsmithRealtime()
    app = app_with_a_blocked_receiver(make_app, flagsmith, emulator, block)
    changed = Received(flags_changed, app)
    for value in ("two", "three", "four"):
        emulator.set_flag("banner_text", value=value)
        eventually(partial(reads, app, value))
    assert flagsmith.status.state == "live"
    block.goes_on.set()
    # The changes that waited are one. The last can be read before it waits.
    merged = changed.wait_for(lambda content: "banner_text" in content["changes"])
    assert merged["changes"]["banner_text"].before.value == "one"
    assert merged["changes"]["banner_text"].after.value in ("three", "four")


def reads(app: Flask, value: str) -> bool:
    with app.app_context():
        return flags["banner_text"].value == value


def test_changes_behind_a_slow_receiver_are_merged(
    app: Flask, dispatcher: Dispatcher, block: Block
) -> None:
    first = [snapshot(number, a=number, b=0) for number in range(5)]
    snapshot_refreshed.connect(block, sender=app)
    dispatcher.send(snapshot_refreshed, snapshot=first[0])
    assert block.entered.wait(PATIENCE_SECONDS)
    snapshot_refreshed.disconnect(block)
    changed, refreshed = Received(flags_changed, app), Received(snapshot_refreshed, app)
    for before, after in itertools.pairwise(first):
        change(dispatcher, before, after)
    block.goes_on.set()
    content = changed.wait()
    assert (content["previous"], content["snapshot"]) == (first[0], first[4])
    assert set(content["changes"]) == {"a"}
    assert [content["snapshot"] for content in refreshed.all] == [first[4]]
    assert len(changed.all) == 1


def test_a_change_that_was_undone_meanwhile_is_not_sent(
    app: Flask, dispatcher: Dispatcher, block: Block
) -> None:
    one, two, again = snapshot(1, a=1), snapshot(2, a=2), snapshot(3, a=1)
    snapshot_refreshed.connect(block, sender=app)
    dispatcher.send(snapshot_refreshed, snapshot=one)
    assert block.entered.wait(PATIENCE_SECONDS)
    changed, failed = Received(flags_changed, app), Received(signals.refresh_failed, app)
    change(dispatcher, one, two)
    change(dispatcher, two, again)
    dispatcher.send(signals.refresh_failed, error=FetchError("the last signal"))
    block.goes_on.set()
    failed.wait()
    assert changed.all == []


def test_what_waits_is_bounded(app: Flask, dispatcher: Dispatcher, block: Block) -> None:
    snapshot_refreshed.connect(block, sender=app)
    dispatcher.send(snapshot_refreshed, snapshot=snapshot(0, a=0))
    assert block.entered.wait(PATIENCE_SECONDS)
    ended = Received(signals.stream_disconnected, app)
    failed = Received(signals.refresh_failed, app)
    for number in range(1000):
        dispatcher.send(signals.stream_connected)
        dispatcher.send(signals.stream_disconnected, reason=str(number))
        dispatcher.send(signals.refresh_failed, error=FetchError(str(number)))
    block.goes_on.set()
    assert str(failed.wait()["error"]) == "999"
    ended.wait_for(lambda content: content["reason"] == "999")
    assert len(ended.all) <= 16


def test_signals_keep_their_order(app: Flask, dispatcher: Dispatcher) -> None:
    sent: list[str] = []
    last = threading.Event()
    receivers: list[Callable[..., None]] = []
    for signal in (flags_changed, snapshot_refreshed, signals.stream_connected):

        def receive(_app: Flask, name: str = signal.name, **_: Any) -> None:
            sent.append(name)
            if name == "flagsmith-stream-connected":
                last.set()

        receivers.append(receive)
        signal.connect(receive, sender=app)
    change(dispatcher, snapshot(1, a=1), snapshot(2, a=2))
    dispatcher.send(signals.stream_connected)
    assert last.wait(PATIENCE_SECONDS)
    assert sent == [
        "flagsmith-snapshot-refreshed",
        "flagsmith-flags-changed",
        "flagsmith-stream-connected",
    ]


def test_a_stop_does_not_wait_for_a_receiver(
    make_app: MakeApp, emulator: Emulator, block: Block
) -> None:
    flagsmith = FlagsmithRealtime()
    app = app_with_a_blocked_receiver(make_app, flagsmith, emulator, block)
    flagsmith.stop(app)
    assert not block.goes_on.is_set()
    changed = Received(flags_changed, app)
    block.goes_on.set()
    emulator.set_flag("banner_text", value="two")
    assert changed.all == []


def test_a_receiver_that_runs_for_long_is_named(
    make_app: MakeApp,
    emulator: Emulator,
    block: Block,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def watch_from_its_begin(seconds: float, report: Callable[[], None]) -> Watch:
        return watch(seconds, lambda: block.entered.wait(PATIENCE_SECONDS) and report())

    monkeypatch.setattr(dispatcher_module, "SLOW_SECONDS", 0.05)
    monkeypatch.setattr(dispatcher_module, "watch", watch_from_its_begin)
    flagsmith = FlagsmithRealtime()

    @flagsmith.on_change("banner_text")
    def calls_a_service(_change: object) -> None:
        block(app)

    app = make_app(flagsmith)
    assert emulator.wait_for_streams(1)
    emulator.set_flag("banner_text", value="one")
    eventually(lambda: "calls_a_service" in str(flagsmith.status.slow_receiver))
    eventually(lambda: "calls_a_service" in caplog.text)
    assert flagsmith.status.state == "live"
    block.goes_on.set()
    eventually(lambda: flagsmith.status.slow_receiver is None)


def test_only_the_signal_that_is_sent_is_reported(
    app: Flask, block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[Callable[[], None]] = []

    def note(_seconds: float, report: Callable[[], None]) -> Mock:
        reports.append(report)
        return Mock()

    monkeypatch.setattr(dispatcher_module, "watch", note)
    activity = Activity()
    dispatcher = Dispatcher(app, activity)
    first = Block()
    signals.stream_connected.connect(first, sender=app)
    snapshot_refreshed.connect(block, sender=app)
    dispatcher.send(signals.stream_connected)
    dispatcher.send(snapshot_refreshed, snapshot=snapshot(0, a=0))
    first.goes_on.set()
    assert block.entered.wait(PATIENCE_SECONDS)
    before, during = reports
    # The watchdog may be late.
    before()
    assert activity.slow_receiver is None
    during()
    assert "Block" in str(activity.slow_receiver)
    block.goes_on.set()
    eventually(lambda: activity.slow_receiver is None)
    during()
    assert activity.slow_receiver is None


def test_without_a_thread_signals_are_sent_late(
    app: Flask, dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    one, two, three = (snapshot(number, a=number) for number in range(3))
    changed = Received(flags_changed, app)
    size = threading.stack_size(NO_MEMORY)
    try:
        change(dispatcher, one, two)
    finally:
        threading.stack_size(size)
    assert changed.all == []
    change(dispatcher, two, three)
    # Receivers of other signals may have started the thread before the two could be merged.
    changed.wait_for(lambda content: content["snapshot"] is three)
    assert changed.all[0]["previous"] is one
    assert caplog.text.count("The thread flagsmith-dispatcher cannot be started") == 1


def test_a_log_handler_that_blocks_stops_no_flags(make_app: MakeApp, emulator: Emulator) -> None:
    app = make_app()
    assert emulator.wait_for_streams(1)
    goes_on, entered = threading.Event(), threading.Event()

    class Blocks(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            entered.set()
            goes_on.wait(PATIENCE_SECONDS)

    logger, handler = logging.getLogger("flask_flagsmith_realtime"), Blocks()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    changed = Received(flags_changed, app)
    try:
        for number in range(3):
            emulator.set_flag("banner_text", value=f"number {number}")
            eventually(partial(reads, app, f"number {number}"))
        assert entered.wait(PATIENCE_SECONDS)
        changed.wait_for(
            lambda content: content["changes"]["banner_text"].after.value == "number 2"
        )
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        goes_on.set()
