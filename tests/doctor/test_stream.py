"""The doctor's checks of the stream."""

from __future__ import annotations

import json

import pytest

from flask_flagsmith_realtime.client import ChangeEvent, MalformedEvent
from flask_flagsmith_realtime.config.settings import read_config
from flask_flagsmith_realtime.doctor import network as probes
from flask_flagsmith_realtime.doctor.verdicts import (
    diagnose_greeting,
)
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.doctor import app_with, find
from tests.support.misbehaving import MisbehavingFlagsmith, Stream, answers


def test_a_project_with_real_time_updates_off_is_a_warning(emulator: Emulator) -> None:
    document = json.loads(json.dumps(emulator.document))
    document["project"]["enable_realtime_updates"] = False
    with Emulator(document=document) as running:
        app = app_with(running.config)
        project, stream = find(app, "project"), find(app, "stream")
    assert project["level"] == stream["level"] == "warning"
    assert "Turn on 'Enable real-time updates'" in project["advice"]
    assert "it answers 403" in stream["message"]
    assert "Flags are fetched every 60 s instead" in stream["advice"]


def test_a_plan_without_a_stream_is_a_warning(
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


def test_a_stream_without_a_greeting_is_closed_in_time() -> None:
    # Heartbeats are not a greeting.
    with Emulator(greeting=False, heartbeat_seconds=0.05) as running:
        config = read_config(running.config)
        assert probes.greet(config, running.client_side_key, 0.3) is None
        assert running.wait_for_streams(0)


@pytest.mark.parametrize(
    ("greeting", "held", "level"),
    [
        (None, 10.0, "ok"),
        (MalformedEvent("the data is not JSON"), 10.0, "ok"),
        (ChangeEvent(None), 10.0, "ok"),
        (ChangeEvent(10.0), None, "ok"),
        (ChangeEvent(9.0), 10.5, "ok"),
        (ChangeEvent(10.5), 10.5, "ok"),
        (ChangeEvent(11.5), 10.5, "warning"),
    ],
)
def test_greetings_are_compared_with_the_answer(
    greeting: ChangeEvent | MalformedEvent | None, held: float | None, level: str
) -> None:
    assert diagnose_greeting(greeting, held).level is level
