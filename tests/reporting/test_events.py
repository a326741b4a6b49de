"""Events: exposures to experiments and what users did, through real endpoints."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from flask import Flask

from flask_flagsmith_realtime import (
    Event,
    Experiment,
    Flag,
    FlagsmithRealtime,
    Identity,
    NotInitializedError,
    flags,
)
from flask_flagsmith_realtime.app_state import state_of
from flask_flagsmith_realtime.config import read_config
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.reporting.events import MOST_EVENTS, Events, exposure
from flask_flagsmith_realtime.testing import FlagOverrides
from tests.support.apps import MakeApp
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.waiting import eventually

ADA = Identity("ada", {"plan": "pro", "city": {"value": "Rome", "transient": True}})
#: Only a stop posts.
NEVER = 3600
SHOWN = Flag("colour", True, "blue", 7, "blue", experiment=Experiment(3, "colours", True))


@pytest.fixture
def flagsmith_extension() -> FlagsmithRealtime:
    extension = FlagsmithRealtime()
    extension.identity_loader(lambda: ADA)
    return extension


@pytest.fixture
def app(flagsmith_extension: FlagsmithRealtime) -> Flask:
    """An app under test."""
    app = Flask("shop")
    app.testing = True
    flagsmith_extension.init_app(app)
    return app


@pytest.mark.parametrize("key", ["client_side_key", "server_side_key"])
def test_exposures_of_an_experiment(
    flagsmith_extension: FlagsmithRealtime, make_app: MakeApp, emulator: Emulator, key: str
) -> None:
    emulator.set_flag("button_colour", enabled=True, value="grey")
    emulator.set_variants("button_colour", {"blue": 0, "red": 0})
    emulator.set_experiment("button_colour", "colours", {"blue": 100})
    app = make_app(
        flagsmith_extension,
        ENVIRONMENT_KEY=getattr(emulator, key),
        ENABLE_EVENTS=True,
        EVENTS_API_URL=emulator.events_api_url,
        ANALYTICS_INTERVAL_SECONDS=NEVER,
    )
    with app.app_context():
        flag = flags.get_experiment_flag("button_colour")
        assert flags.get_experiment_flag("button_colour") == flag
        assert flags.get_experiment_flag("banner_text").experiment is None
        flags.for_identity("bob").get_experiment_flag("button_colour")
        flagsmith_extension.track_event("purchase", value=12.5, metadata={"items": 3})
    flagsmith_extension.track_event("signup", identity=Identity("eve"))
    flagsmith_extension.track_event("started")
    assert (flag.value, flag.variant) == ("blue", "blue")
    assert flag.experiment == Experiment(flag.experiment.id, "colours", True)  # type: ignore[union-attr]
    assert emulator.events == []
    flagsmith_extension.stop(app)
    found = [
        (event["event"], event["feature_name"], event["identifier"], event["value"])
        for event in emulator.events
    ]
    assert found == [
        ("$flag_exposure", "button_colour", "ada", "blue"),
        ("$flag_exposure", "button_colour", "bob", "blue"),
        ("purchase", None, "ada", "12.5"),
        ("signup", None, "eve", None),
        ("started", None, None, None),
    ]
    exposed, _, purchase, *_ = emulator.events
    assert exposed["metadata"]["experiment_id"] == flag.experiment.id  # type: ignore[union-attr]
    assert exposed["traits"] == purchase["traits"] == {"plan": "pro"}
    assert purchase["metadata"]["items"] == 3
    assert purchase["metadata"]["sdk_version"].startswith("flask-flagsmith-realtime/")


@pytest.mark.parametrize(
    "flag",
    [
        Flag("colour", False, "blue", 7, "blue", experiment=SHOWN.experiment),
        Flag("colour", True, "blue", 7, None, experiment=SHOWN.experiment),
        Flag("colour", True, "blue", 7, "blue", experiment=Experiment(3, "colours", False)),
        Flag("colour", True, "blue", 7, "blue"),
        Flag("colour", True, "blue", 7, "blue", True, experiment=SHOWN.experiment),
    ],
    ids=["off", "no variant", "not in it", "no experiment", "a default"],
)
def test_no_exposure_of_what_is_not_shown_by_an_experiment(
    app: Flask, flagsmith_flags: FlagOverrides, flag: Flag
) -> None:
    flagsmith_flags.set(colour=flag)
    with app.app_context():
        assert flags.get_experiment_flag("colour") == flag
    assert flagsmith_flags.events == []


def test_tests_read_the_events(
    app: Flask, flagsmith_extension: FlagsmithRealtime, flagsmith_flags: FlagOverrides
) -> None:
    flagsmith_flags.set(colour=SHOWN)

    @app.get("/")
    def home() -> str:
        flagsmith_extension.track_event("visit", value=1)
        return str(flags.get_experiment_flag("colour").value)

    assert app.test_client().get("/").text == "blue"
    user: dict[str, Any] = {"identifier": "ada", "traits": {"plan": "pro"}}
    assert flagsmith_flags.events == [
        Event("visit", value="1", **user),
        Event("$flag_exposure", "colour", value="blue", metadata={"experiment_id": 3}, **user),
    ]
    flagsmith_flags.clear()
    assert flagsmith_flags.events == []


def test_without_an_identity_nothing_is_exposed(flagsmith_flags: FlagOverrides, app: Flask) -> None:
    other = Flask("other")
    other.testing = True
    FlagsmithRealtime(other)
    overrides = FlagOverrides(other)
    overrides.set(colour=SHOWN)
    with other.app_context():
        assert flags.get_experiment_flag("colour") == SHOWN
    assert overrides.events == []
    overrides.clear()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": 5}, TypeError, "name must be a str, not int"),
        ({"name": " "}, ValueError, "must have 1 to 256 characters"),
        ({"name": "x" * 257}, ValueError, "must have 1 to 256 characters"),
        ({"name": "$flag_exposure"}, ValueError, r"must not begin with \$"),
        ({"value": [1]}, TypeError, "must be text, a number, True, False or None, not list"),
        ({"value": "x" * 131_071}, ValueError, "larger than 128 KiB"),
        ({"metadata": [1]}, TypeError, "must be a dict, not list"),
        ({"metadata": {"a": object()}}, TypeError, "cannot be written as JSON: Object of type"),
        ({"metadata": {"a": float("nan")}}, TypeError, "cannot be written as JSON"),
        ({"metadata": {"a": "x" * 8192}}, ValueError, "larger than 8 KiB"),
    ],
)
def test_wrong_event_is_refused_at_the_call(
    app: Flask,
    flagsmith_extension: FlagsmithRealtime,
    arguments: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with app.app_context(), pytest.raises(error, match=message):
        flagsmith_extension.track_event(**{"name": "purchase", **arguments})
    assert not state_of(app).reporter.kept_events


def test_extension_without_an_app_says_so() -> None:
    with pytest.raises(NotInitializedError, match="was given no app"):
        FlagsmithRealtime().track_event("purchase")


def test_disabled_events_are_logged_once(
    make_app: MakeApp, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    extension = FlagsmithRealtime()
    make_app(extension, EVENTS_API_URL=emulator.events_api_url)
    with caplog.at_level(logging.WARNING):
        extension.track_event("purchase")
        extension.track_event("purchase")
        eventually(lambda: "FLAGSMITH_ENABLE_EVENTS is off" in caplog.text)
    assert caplog.text.count("FLAGSMITH_ENABLE_EVENTS is off") == 1
    assert emulator.calls["v1/events"] == 0


class Tracked:
    """An app that sends its events to a misbehaving Flagsmith, ten times a second."""

    def __init__(self, flagsmith: MisbehavingFlagsmith, make_app: MakeApp, **settings: Any) -> None:
        self.flagsmith = flagsmith
        self.extension = FlagsmithRealtime()
        own = {name.removeprefix("FLAGSMITH_"): value for name, value in flagsmith.config.items()}
        self.app = make_app(
            self.extension,
            **own,
            ENABLE_EVENTS=True,
            EVENTS_API_URL=flagsmith.api_server.origin,
            **{"ANALYTICS_INTERVAL_SECONDS": 0.1, **settings},
        )

    def track(self, *names: str) -> None:
        for name in names:
            self.extension.track_event(name)

    def wait_for(self, count: int) -> list[list[str]]:
        """Wait for so many requests, and return the events of each."""
        self.flagsmith.wait_for(lambda: self.flagsmith.other.count >= count)
        bodies = [json.loads(request.body) for request in self.flagsmith.other.requests]
        return [[event["event"] for event in body["events"]] for body in bodies]


@pytest.fixture
def tracked(flagsmith: MisbehavingFlagsmith, make_app: MakeApp) -> Tracked:
    flagsmith.other.always(answers.status(202))
    return Tracked(flagsmith, make_app)


@pytest.mark.parametrize("failure", [answers.status(503), answers.status(429), answers.reset])
def test_undelivered_events_wait_for_the_next_report(
    tracked: Tracked, caplog: pytest.LogCaptureFixture, failure: Any
) -> None:
    tracked.flagsmith.other.always(failure)
    with caplog.at_level(logging.WARNING):
        tracked.track("one")
        tracked.wait_for(1)
        tracked.track("two")
        eventually(lambda: ["one", "two"] in tracked.wait_for(1))
        tracked.flagsmith.other.always(answers.status(202))
        eventually(lambda: "takes events again" in caplog.text)
    found = tracked.wait_for(1)
    assert found[0] == ["one"]
    assert found[-1] == ["one", "two"]
    assert caplog.text.count("They wait; it is tried again") == 1


def test_exposure_that_waits_is_not_added_again(
    flagsmith: MisbehavingFlagsmith, make_app: MakeApp
) -> None:
    flagsmith.other.always(answers.status(202))
    tracked = Tracked(flagsmith, make_app, ANALYTICS_INTERVAL_SECONDS=NEVER)
    reporter = state_of(tracked.app).reporter
    reporter.expose(SHOWN, ADA)
    reporter.events.report(lambda url, content: (503, b""))
    reporter.expose(SHOWN, ADA)
    tracked.track("last")
    tracked.extension.stop(tracked.app)
    assert tracked.wait_for(1) == [["$flag_exposure", "last"]]


@pytest.mark.parametrize(
    ("refusal", "line"),
    [
        (
            answers.status(
                202,
                body=b'{"accepted": 1, "rejected": [{"index": 0, "error": "events[0].a is bad"}]}',
            ),
            "Flagsmith rejected an event, which is dropped: a is bad.",
        ),
        (
            answers.status(400, body=b'{"accepted": 0, "rejected": [{"index": 0, "error": "no"}]}'),
            "Flagsmith rejected an event, which is dropped: no.",
        ),
        (answers.status(403), "with 403 Forbidden and are dropped. Check FLAGSMITH_EVENTS_API_URL"),
        (answers.status(413), "with 413"),
    ],
)
def test_refused_events_are_dropped_and_logged_once(
    tracked: Tracked, caplog: pytest.LogCaptureFixture, refusal: Any, line: str
) -> None:
    tracked.flagsmith.other.next(refusal, refusal)
    with caplog.at_level(logging.WARNING):
        for count, name in enumerate(("one", "two", "three"), 1):
            tracked.track(name)
            found = tracked.wait_for(count)
        eventually(lambda: line in caplog.text)
    assert found == [["one"], ["two"], ["three"]]
    assert caplog.text.count(line) == 1


def test_number_of_waiting_events_is_bounded(
    flagsmith: MisbehavingFlagsmith, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    flagsmith.other.always(answers.status(503))
    tracked = Tracked(flagsmith, make_app, ANALYTICS_INTERVAL_SECONDS=NEVER)
    with caplog.at_level(logging.WARNING):
        tracked.track(*(f"event {number}" for number in range(MOST_EVENTS)))
        # A full buffer is posted before the interval is over.
        tracked.wait_for(1)
        eventually(lambda: len(state_of(tracked.app).reporter.events._waiting) == MOST_EVENTS)
        tracked.track("too many")
        eventually(lambda: "there is no room for more" in caplog.text)
    flagsmith.other.always(answers.status(202))
    tracked.extension.stop(tracked.app)
    assert tracked.wait_for(2)[-1] == [f"event {number}" for number in range(MOST_EVENTS)]


def test_an_exposure_that_found_no_room_does_not_count_as_waiting() -> None:
    events = Events(read_config({"FLAGSMITH_ENVIRONMENT_KEY": "key"}))
    for number in range(MOST_EVENTS):
        events.add(Event(f"event {number}", value="x" * 2000))
    shown = exposure(SHOWN, ADA)
    assert shown is not None
    events.add(shown)
    answered = iter([202, 503])
    events.report(lambda url, content: (next(answered), b""))
    events.add(shown)
    posted: list[bytes] = []

    def post(url: str, content: bytes) -> tuple[int, bytes]:
        posted.append(content)
        return 202, b""

    events.report(post)
    assert b"".join(posted).count(b"$flag_exposure") == 1


def test_large_events_are_posted_in_several_bodies(
    flagsmith: MisbehavingFlagsmith, make_app: MakeApp
) -> None:
    flagsmith.other.always(answers.status(202))
    tracked = Tracked(flagsmith, make_app, ANALYTICS_INTERVAL_SECONDS=NEVER)
    for number in range(20):
        tracked.extension.track_event(f"event {number}", value="x" * 100_000)
    tracked.extension.stop(tracked.app)
    found = tracked.wait_for(2)
    names = [name for body in found for name in body]
    assert names == [f"event {number}" for number in range(20)]
    assert max(len(request.body) for request in flagsmith.other.requests) < 2 * 1024 * 1024
