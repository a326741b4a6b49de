"""The source of Flagsmith: its thread outlives mistakes of ours, and says so once."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import pytest
from flask import Flask, request

from flask_flagsmith_realtime import signals
from flask_flagsmith_realtime.client.api import API
from flask_flagsmith_realtime.config import Config, read_config
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.engine import FlagsmithSource
from flask_flagsmith_realtime.engine.dispatcher import Dispatcher
from flask_flagsmith_realtime.engine.publisher import Publisher
from flask_flagsmith_realtime.engine.schedule import Schedule
from flask_flagsmith_realtime.engine.store import SnapshotStore
from flask_flagsmith_realtime.model.snapshot import Snapshot
from flask_flagsmith_realtime.monitoring.activity import Activity
from tests.support.apps import MakeApp, Received
from tests.support.misbehaving import MisbehavingFlagsmith

MISTAKES = 3


class ClumsyAPI(API):
    """Makes mistakes when it is asked."""

    mistakes = MISTAKES

    def fetch(self, held: Snapshot | None = None) -> Snapshot:
        if self.mistakes:
            self.mistakes -= 1
            raise ZeroDivisionError
        return super().fetch(held)


class ClumsyHolder(SnapshotStore):
    """Makes mistakes when it is given something."""

    mistakes = MISTAKES

    def publish(self, snapshot: Snapshot) -> tuple[Snapshot | None, bool]:
        if self.mistakes:
            self.mistakes -= 1
            raise ZeroDivisionError
        return super().publish(snapshot)


class ClumsySchedule(Schedule):
    """Raises when a connection is reported to it."""

    mistakes = MISTAKES

    def connected(self, now: float) -> None:
        if self.mistakes:
            self.mistakes -= 1
            raise ZeroDivisionError
        super().connected(now)


class EagerSource(FlagsmithSource):
    """Retries without a pause."""

    def __init__(self, config: Config, activity: Activity) -> None:
        super().__init__(config, activity)
        self._schedule = Schedule(0.01, 60, 300)


class WantsRequest(logging.Handler):
    """Has a filter that fails in every thread but a request's."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise RuntimeError(f"no request: {request.path}")


def shows(value: str, content: dict[str, Any]) -> bool:
    """Return whether a signal's snapshot has a value."""
    snapshot: Snapshot = content["snapshot"]
    return snapshot.flags["banner_text"].value == value


@pytest.mark.parametrize(
    ("api_class", "holder"),
    [(ClumsyAPI, SnapshotStore()), (API, ClumsyHolder())],
    ids=["api", "holder"],
)
def test_a_mistake_of_ours_does_not_end_the_thread(
    flagsmith: MisbehavingFlagsmith,
    caplog: pytest.LogCaptureFixture,
    api_class: type[API],
    holder: SnapshotStore,
) -> None:
    app, config = Flask(__name__), read_config(flagsmith.config)
    activity = Activity()
    source = EagerSource(config, activity)
    source._api = api_class(config)
    refreshed = Received(signals.snapshot_refreshed, app)
    source.start(Publisher(holder, Dispatcher(app, activity)))
    try:
        refreshed.wait()
        flagsmith.wait_for_streams(1)
        flagsmith.change("banner_text", value="after")
        refreshed.wait_for(partial(shows, "after"))
    finally:
        source.stop()
        source.join()
    assert holder.snapshot is not None
    assert holder.snapshot.flags["banner_text"].value == "after"
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    crash, trouble, recovery = said
    assert crash.exc_info is not None
    assert "ZeroDivisionError" in trouble.getMessage()
    assert recovery.getMessage() == "Flagsmith's API answers again."


def test_neither_does_one_beside_the_fetches(
    flagsmith: MisbehavingFlagsmith, caplog: pytest.LogCaptureFixture
) -> None:
    app, config = Flask(__name__), read_config(flagsmith.config)
    activity = Activity()
    source = EagerSource(config, activity)
    source._schedule = ClumsySchedule(0.01, 60, 300)
    refreshed = Received(signals.snapshot_refreshed, app)
    source.start(Publisher(SnapshotStore(), Dispatcher(app, activity)))
    try:
        refreshed.wait()
        flagsmith.wait_for_streams(1)
        for _ in range(MISTAKES):
            source._mailbox.connected()
        flagsmith.change("banner_text", value="after")
        refreshed.wait_for(partial(shows, "after"))
    finally:
        source.stop()
        source.join()
    assert [record.exc_info is None for record in caplog.records] == [False]


def test_neither_does_a_log_that_fails(
    emulator: Emulator, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()
    logger = logging.getLogger("flask_flagsmith_realtime")
    handler = WantsRequest()
    refreshed = Received(signals.snapshot_refreshed, app)
    assert emulator.wait_for_streams(1)
    caplog.set_level(logging.DEBUG, logger.name)
    logger.addHandler(handler)
    try:
        for value in ("one", "two"):
            emulator.set_flag("banner_text", value=value)
            refreshed.wait_for(partial(shows, value))
    finally:
        logger.removeHandler(handler)
