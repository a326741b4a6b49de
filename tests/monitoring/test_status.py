"""The status: what each state means, and that a running app tells it."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from flask_flagsmith_realtime import (
    FlagsmithRealtime,
    NotInitializedError,
    Snapshot,
    flags,
    flags_changed,
    refresh_failed,
)
from flask_flagsmith_realtime.app_state import EXTENSION
from flask_flagsmith_realtime.client.backoff import Reconnect
from flask_flagsmith_realtime.config.settings import read_config
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.engine.listener import Listener
from flask_flagsmith_realtime.engine.mailbox import Mail, Mailbox
from flask_flagsmith_realtime.monitoring.activity import Activity, Trouble
from flask_flagsmith_realtime.monitoring.status import Now, Status, make_status
from tests.support.apps import MakeApp, Received
from tests.support.misbehaving import RESET, MisbehavingFlagsmith
from tests.support.waiting import PATIENCE_SECONDS, eventually

NOW = Now(monotonic=10_000.0, epoch=1_700_000_000.0)
#: Polls every 60 s, and every 300 s while the stream is open.
CONFIG = read_config({"FLAGSMITH_ENVIRONMENT_KEY": "ser.secret"})


def snapshot(age: float = 0.0) -> Snapshot:
    return Snapshot({}, epoch=1.5, fetched_at=NOW.epoch - age, environment_id="id")


def status(
    held: Snapshot | None = None,
    *,
    running: bool = True,
    offline: bool = False,
    config: Any = CONFIG,
    **did: Any,
) -> Status:
    activity = Activity()
    for name, value in did.items():
        setattr(activity, name, value)
    return make_status(config, held, activity, NOW, running=running, offline=offline)


def ago(seconds: float) -> float:
    return NOW.monotonic - seconds


class Prompt(Reconnect):
    """Opens the stream again at once."""

    def after_connection(self, lived: float, *_: Any) -> tuple[float, Reconnect]:
        return 0.0, self


class LogLine(logging.Handler):
    """Waits for a line of the log."""

    def __init__(self, logger: str, part: str) -> None:
        super().__init__()
        self._logger = logging.getLogger(logger)
        self._part = part
        self.came = threading.Event()

    def __enter__(self) -> LogLine:
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if self._part in record.getMessage():
            self.came.set()


def take_until(mailbox: Mailbox, condition: Callable[[Mail], bool]) -> None:
    while not condition(mail := mailbox.take(PATIENCE_SECONDS)):
        assert mail != Mail(), "nothing has come in"


def test_without_flags_it_is_starting() -> None:
    assert status().state == "starting"
    assert status(connected_since=ago(1)).state == "starting"
    assert status(failing=True).state == "starting"
    assert status(running=False).state == "starting"


def test_offline_goes_before_everything() -> None:
    assert status(offline=True).state == "offline"
    assert status(snapshot(), offline=True, running=False, failing=True).state == "offline"


@pytest.mark.parametrize(
    ("did", "state"),
    [
        ({"answered_at": ago(1)}, "polling"),
        ({"answered_at": ago(119)}, "polling"),
        ({"answered_at": ago(121)}, "stale"),
        ({"answered_at": ago(1), "failing": True}, "stale"),
        ({"answered_at": ago(1), "connected_since": ago(500)}, "live"),
        ({"answered_at": ago(599), "connected_since": ago(500)}, "live"),
        ({"answered_at": ago(601), "connected_since": ago(500)}, "stale"),
        ({"answered_at": ago(1), "connected_since": ago(500), "failing": True}, "stale"),
        # Flags as old as a live stream lets them become, when it ends.
        ({"answered_at": ago(290), "disconnected_at": ago(1)}, "polling"),
        ({"answered_at": ago(290), "disconnected_at": ago(121)}, "stale"),
        ({"answered_at": ago(1), "disconnected_at": ago(1000)}, "polling"),
        # A follower is supplied as its leader is.
        ({"answered_at": ago(599), "leader": False, "leader_report": "live"}, "live"),
        ({"answered_at": ago(601), "leader": False, "leader_report": "live"}, "stale"),
        ({"answered_at": ago(119), "leader": False, "leader_report": "polling"}, "polling"),
        ({"answered_at": ago(121), "leader": False, "leader_report": "polling"}, "stale"),
        ({"answered_at": ago(1), "leader": False, "leader_report": "failing"}, "stale"),
        ({"answered_at": ago(1), "leader": False, "leader_report": None}, "polling"),
        # It cannot read what the leader has.
        (
            {"answered_at": ago(1), "leader": False, "leader_report": "live", "failing": True},
            "stale",
        ),
        # What a leader said that it does not follow counts no more.
        ({"answered_at": ago(1), "leader_report": "live"}, "polling"),
    ],
)
def test_states_of_what_this_process_fetched(did: dict[str, Any], state: str) -> None:
    assert status(snapshot(), **did).state == state


def test_flags_that_others_fetched_are_as_old_as_they_say() -> None:
    assert status(snapshot(age=119)).state == "polling"
    assert status(snapshot(age=121)).state == "stale"


def test_live_without_polling_is_never_stale_of_age() -> None:
    config = read_config(
        {"FLAGSMITH_ENVIRONMENT_KEY": "ser.x", "FLAGSMITH_LIVE_REFRESH_INTERVAL_SECONDS": 0}
    )
    held = snapshot(age=1e6)
    assert status(held, config=config, answered_at=ago(9999), connected_since=0.0).state == "live"


def test_flags_that_are_not_fetched_again_become_stale() -> None:
    assert status(snapshot(), running=False, answered_at=ago(1)).state == "stale"


def test_moments_are_told_in_seconds_since_1970() -> None:
    found = status(
        snapshot(age=7),
        answered_at=ago(7),
        connected_since=ago(60),
        connections=3,
        event_at=ago(8),
        trouble=Trouble("out of order", ago(90)),
        calls=12,
    )
    assert found == Status(
        state="live",
        running=True,
        epoch=1.5,
        age_seconds=7.0,
        last_event=NOW.epoch - 8,
        last_error="out of order",
        last_error_at=NOW.epoch - 90,
        stream_connected_since=NOW.epoch - 60,
        calls=12,
        reconnects=2,
    )


def test_age_is_never_negative_and_a_status_is_frozen() -> None:
    found = status(snapshot(age=-30))
    assert found.age_seconds == 0.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.state = "live"  # type: ignore[misc]


def test_who_fetches_in_a_fleet() -> None:
    activity = Activity()
    activity.take_role(leader=True)
    assert activity.disconnected_at is None
    activity.failed("The API is away.")
    activity.take_role(leader=False)
    assert not activity.failing
    activity.take_role(leader=True)
    assert activity.disconnected_at is not None, "polling begins here"


def test_what_a_process_says_of_itself_to_its_fleet() -> None:
    activity = Activity()
    assert activity.report == "polling"
    activity.connected()
    assert activity.report == "live"
    activity.failed("The API is away.")
    assert activity.report == "failing"
    activity.answered()
    assert activity.report == "live"


def test_what_a_follower_hears_of_its_leader() -> None:
    activity = Activity()
    activity.take_role(leader=False)
    activity.leader_reported("live", NOW.epoch - 5)
    assert activity.disconnected_at is None
    assert activity.trouble is None
    activity.leader_reported(None, None)
    assert activity.is_announced
    found = make_status(CONFIG, snapshot(age=900), activity, NOW, running=True, offline=False)
    assert found.age_seconds == 5.0
    activity.leader_reported("failing", None)
    assert activity.disconnected_at is not None, "polling begins here"
    assert activity.trouble is not None
    trouble = activity.trouble
    activity.leader_reported("failing", None)
    assert activity.trouble is trouble, "said once"
    activity.take_role(leader=True)
    found = make_status(CONFIG, snapshot(age=900), activity, NOW, running=True, offline=False)
    assert found.age_seconds == 900.0


def test_running_app_is_live(make_app: MakeApp, emulator: Emulator) -> None:
    flagsmith = FlagsmithRealtime()
    before = time.time()
    app = make_app(flagsmith)
    changed = Received(flags_changed, app)
    assert emulator.wait_for_streams(1)
    epoch = emulator.set_flag("banner_text", value="new")
    changed.wait()
    found = flagsmith.status
    after = time.time()
    assert found.state == "live"
    assert found.running
    assert found.epoch == pytest.approx(epoch, abs=1e-6)
    assert found.age_seconds is not None
    assert 0 <= found.age_seconds <= after - before
    assert found.last_event is not None
    assert found.stream_connected_since is not None
    # By two clocks, which do not tick alike.
    assert before - 1 <= found.stream_connected_since <= found.last_event <= after + 1
    eventually(lambda: flagsmith.status.calls == emulator.calls["environment-document/"])
    assert (found.reconnects, found.last_error, found.leader) == (0, None, None)


def test_the_status_is_serializable_and_has_no_secret(
    make_app: MakeApp, emulator: Emulator
) -> None:
    flagsmith = FlagsmithRealtime()
    app = make_app(flagsmith, ENVIRONMENT_REFRESH_INTERVAL_SECONDS=0.1)
    failed = Received(refresh_failed, app)
    assert emulator.wait_for_streams(1)
    emulator.stop()
    failed.wait()

    def write() -> str | None:
        found = flagsmith.status
        # The stream, which cannot be opened, is the last error by turns.
        is_fetch = "could not be asked" in (found.last_error or "")
        return json.dumps(dataclasses.asdict(found)) if is_fetch else None

    written = eventually(write)
    assert written is not None
    assert json.loads(written)["state"] == "stale"
    assert emulator.server_side_key not in written
    assert emulator.client_side_key not in written


def test_listener_writes_down_the_streams_life() -> None:
    activity, mailbox = Activity(), Mailbox()
    with MisbehavingFlagsmith() as flagsmith:
        listener = Listener(read_config(flagsmith.config), mailbox, activity, Prompt())
        thread = threading.Thread(target=listener.run, args=(flagsmith.client_side_key,))
        thread.start()
        take_until(mailbox, lambda mail: mail.newest is not None)
        assert activity.connections == 1
        assert activity.connected_since is not None
        assert activity.event_at is not None
        assert activity.event_at >= activity.connected_since
        assert activity.trouble is None
        flagsmith.say(RESET)
        take_until(mailbox, lambda mail: None in mail.transitions)
        assert activity.connections == 2
        assert activity.disconnected_at is not None
        assert activity.trouble is not None
        assert activity.trouble.message == "Flagsmith's stream broke: connection reset by peer."
        trouble = activity.trouble
        listener.stop()
        thread.join(PATIENCE_SECONDS)
        assert activity.connected_since is None
        assert activity.trouble is trouble, "to be stopped is no trouble"


def test_without_the_stream_it_is_polling(make_app: MakeApp) -> None:
    flagsmith = FlagsmithRealtime()
    app = make_app(flagsmith, ENABLE_REALTIME_UPDATES=False)
    with app.app_context():
        assert flags["banner_text"]
    assert flagsmith.status.state == "polling"
    assert flagsmith.status.stream_connected_since is None
    flagsmith.stop(app)
    assert flagsmith.status.state == "stale"
    assert not flagsmith.status.running


def test_refused_stream_is_the_last_error(make_app: MakeApp, emulator: Emulator) -> None:
    flagsmith = FlagsmithRealtime()
    with LogLine("flask_flagsmith_realtime.engine.listener", "was refused") as refused:
        app = make_app(flagsmith, REALTIME_API_URL=f"{emulator.url}elsewhere/")
        with app.app_context():
            assert flags["banner_text"]
        assert refused.came.wait(PATIENCE_SECONDS)
    assert "was refused" in (flagsmith.status.last_error or "")
    assert flagsmith.status.state == "polling"


def test_asking_starts_nothing(make_app: MakeApp, emulator: Emulator) -> None:
    flagsmith = FlagsmithRealtime()
    make_app(flagsmith, AUTOSTART=False)
    assert flagsmith.status == Status(state="starting")
    assert not emulator.calls


def test_under_test_it_is_offline_until_it_is_started(emulator: Emulator) -> None:
    app = Flask("shop")
    app.config.update(emulator.config, TESTING=True)
    app.config["FLAGSMITH_STARTUP_TIMEOUT_SECONDS"] = PATIENCE_SECONDS
    flagsmith = FlagsmithRealtime(app)
    assert flagsmith.status == Status(state="offline")
    flagsmith.start(app)
    with app.app_context():
        assert flags["banner_text"]
        assert flagsmith.status.state in ("polling", "live")
    flagsmith.stop(app)


def test_running_asks_the_threads_themselves(make_app: MakeApp, emulator: Emulator) -> None:
    flagsmith, others = FlagsmithRealtime(), set(threading.enumerate())
    app = make_app(flagsmith)
    assert emulator.wait_for_streams(1)
    assert flagsmith.status.running
    # Whatever ends the refresher, it is not to look as if flags were kept fresh.
    (refresher,) = (
        thread
        for thread in set(threading.enumerate()) - others
        if thread.name == "flagsmith-refresher"
    )
    app.extensions[EXTENSION].engine._source._mailbox.close()
    refresher.join(PATIENCE_SECONDS)
    assert not flagsmith.status.running
    assert flagsmith.status.state == "stale"


def test_status_of_several_apps_is_the_current_ones(make_app: MakeApp) -> None:
    flagsmith = FlagsmithRealtime()
    off, on = make_app(flagsmith, AUTOSTART=False), make_app(flagsmith)
    with on.app_context():
        assert flags["banner_text"]
        assert flagsmith.status.running
    with off.app_context():
        assert not flagsmith.status.running
    with pytest.raises(NotInitializedError, match=r"serves 2 apps.*'with app\.app_context\(\):'"):
        _ = flagsmith.status
    with Flask("other").app_context(), pytest.raises(NotInitializedError, match="serves 2 apps"):
        _ = flagsmith.status


def test_status_without_an_app_says_what_to_do() -> None:
    with pytest.raises(NotInitializedError, match=r"was given no app: call flagsmith\.init_app"):
        _ = FlagsmithRealtime().status
