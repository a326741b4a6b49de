"""The webhook: the calls that it accepts, and their costs."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from flask_flagsmith_realtime import (
    ConfigError,
    FlagsmithRealtime,
    flags_changed,
    snapshot_refreshed,
)
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.engine.schedule import HINT_RETRY_SECONDS, Schedule
from flask_flagsmith_realtime.model import parse_webhook
from flask_flagsmith_realtime.webhook import LARGEST_BODY_BYTES, is_signed
from tests.support.apps import MakeApp, Received
from tests.support.waiting import eventually

SECRET = "a long random text"
PATH = "/flagsmith/webhook"
#: Calls of a real Flagsmith, with the secret that they are signed with.
WEBHOOKS = json.loads((Path(__file__).parent / "recordings" / "webhooks-2.265.json").read_text())


def body_at(moment: str | None = None, event_type: str = "FLAG_UPDATED") -> bytes:
    """Return a body as Flagsmith's documentation shows it."""
    data: dict[str, Any] = {"changed_by": "user@domain.com", "new_state": {"enabled": True}}
    if moment is not None:
        data["timestamp"] = moment
    return json.dumps({"data": data, "event_type": event_type}).encode()


def sign(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def call(app: Flask, body: bytes, signature: str | None, path: str = PATH) -> TestResponse:
    headers = {} if signature is None else {"X-Flagsmith-Signature": signature}
    return app.test_client().post(path, data=body, headers=headers, content_type="application/json")


MakeHooked = Callable[..., Flask]


@pytest.fixture
def make_hooked(make_app: MakeApp) -> MakeHooked:
    """Makes apps that learn of changes by webhook alone."""

    def make(**settings: Any) -> Flask:
        flagsmith = FlagsmithRealtime()
        app = make_app(
            flagsmith,
            **{
                "AUTOSTART": False,
                "WEBHOOK_SECRET": SECRET,
                "ENABLE_REALTIME_UPDATES": False,
                "ENVIRONMENT_REFRESH_INTERVAL_SECONDS": 3600,
                **settings,
            },
        )
        app.register_blueprint(flagsmith.webhook)
        # Its signal, too, has to be out before a test waits for the next.
        first = Received(snapshot_refreshed, app)
        flagsmith.start(app)
        first.wait()
        return app

    return make


def fetches(emulator: Emulator) -> int:
    return emulator.calls["environment-document/"]


def test_signed_call_fetches_the_change(make_hooked: MakeHooked, emulator: Emulator) -> None:
    app = make_hooked()
    changed = Received(flags_changed, app)
    emulator.set_flag("banner_text", value="by webhook")
    body = body_at("2021-06-18T07:50:26.595298Z")
    answer = call(app, body, sign(body))
    assert (answer.status_code, answer.data) == (200, b"")
    assert changed.wait()["changes"]["banner_text"].after.value == "by webhook"
    assert changed.all[0]["leader"] is True
    assert fetches(emulator) == 2


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "0" * 64,
        sign(body_at(), "the secret before"),
        sign(body_at() + b" "),
        sign(body_at())[:-1],
        "sha256=" + sign(body_at()),
        "sïgnature",
    ],
    ids=["missing", "empty", "forged", "stale secret", "other body", "short", "prefix", "letters"],
)
def test_wrong_signature_changes_nothing(
    make_hooked: MakeHooked,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    signature: str | None,
) -> None:
    app = make_hooked()
    refreshed = Received(snapshot_refreshed, app)
    emulator.set_flag("banner_text", value="not by webhook")
    for _ in range(3):
        assert call(app, body_at(), signature).status_code == 403
    # The engine would have acted on hints from these calls before it acts on the next one.
    assert call(app, body_at(), sign(body_at())).status_code == 200
    refreshed.wait()
    assert fetches(emulator) == 2
    assert caplog.text.count("A call of the webhook was refused") == 1
    assert "FLAGSMITH_WEBHOOK_SECRET" in caplog.text
    assert "is accepted again" in caplog.text
    assert SECRET not in caplog.text


def test_too_large_body_is_refused(make_hooked: MakeHooked, emulator: Emulator) -> None:
    app = make_hooked()
    large = b" " * (LARGEST_BODY_BYTES + 1)
    assert call(app, large, sign(large)).status_code == 413
    just_right = large[:-1]
    assert call(app, just_right, sign(just_right)).status_code == 200


def test_body_without_a_length_is_bounded(make_hooked: MakeHooked) -> None:
    app = make_hooked()

    def send(body: bytes) -> int:
        answer = app.test_client().post(
            PATH,
            input_stream=io.BytesIO(body),
            headers={"X-Flagsmith-Signature": sign(body)},
            environ_overrides={"wsgi.input_terminated": True},
        )
        return answer.status_code

    assert send(b" " * (LARGEST_BODY_BYTES + 1)) == 413
    assert send(body_at()) == 200


def test_app_that_has_read_the_body_before(make_hooked: MakeHooked) -> None:
    app = make_hooked()
    app.before_request(lambda: request.get_data() and None)
    assert call(app, body_at(), sign(body_at())).status_code == 200


def test_only_post_is_accepted(make_hooked: MakeHooked) -> None:
    assert make_hooked().test_client().get(PATH).status_code == 405


@pytest.mark.parametrize(
    "body",
    [b"", b"not JSON", b"[]", b'{"data": 1}', b'{"data": {"timestamp": 5}}', b"[" * 10_000],
    ids=range(6),
)
def test_any_signed_body_causes_a_fetch(
    make_hooked: MakeHooked, emulator: Emulator, body: bytes
) -> None:
    app = make_hooked()
    changed = Received(flags_changed, app)
    emulator.set_flag("banner_text", value="whatever the body")
    assert call(app, body, sign(body)).status_code == 200
    changed.wait()


@pytest.mark.slow
def test_storm_costs_one_fetch_per_minimum_interval(
    make_hooked: MakeHooked, emulator: Emulator
) -> None:
    app = make_hooked(REFRESH_MIN_INTERVAL_SECONDS=0.3)
    before, started = fetches(emulator), time.monotonic()
    body = body_at("2021-06-18T07:50:26.595298Z")
    while time.monotonic() < started + 1:
        assert call(app, body, sign(body)).status_code == 200
    # One more may have been due when the storm began, one when it ended.
    assert fetches(emulator) - before <= (time.monotonic() - started) / 0.3 + 2


def test_call_before_the_change_can_be_fetched_is_retried(
    make_hooked: MakeHooked, emulator: Emulator
) -> None:
    app = make_hooked()
    refreshed, changed = Received(snapshot_refreshed, app), Received(flags_changed, app)
    body = body_at()
    assert call(app, body, sign(body)).status_code == 200
    refreshed.wait()
    emulator.set_flag("banner_text", value="a little later")
    assert changed.wait()["changes"]["banner_text"].after.value == "a little later"
    # The first retry may come before the change.
    assert fetches(emulator) in (3, 4)


def test_deletion_is_retried_although_an_older_answer_is_newer_than_its_moment(
    make_hooked: MakeHooked, emulator: Emulator
) -> None:
    app = make_hooked()
    refreshed, changed = Received(snapshot_refreshed, app), Received(flags_changed, app)
    # Its moment is that of the feature's last edit.
    body = body_at("2021-06-18T07:50:26.595298Z", "FLAG_DELETED")
    assert call(app, body, sign(body)).status_code == 200
    refreshed.wait()
    emulator.delete_flag("banner_text")
    assert changed.wait()["changes"]["banner_text"].after is None


@pytest.mark.parametrize("recorded", WEBHOOKS["webhooks"], ids=lambda it: it["event_type"])
def test_recorded_webhooks_are_accepted(
    make_hooked: MakeHooked, emulator: Emulator, recorded: dict[str, Any]
) -> None:
    app = make_hooked(WEBHOOK_SECRET=WEBHOOKS["secret"])
    changed = Received(flags_changed, app)
    emulator.set_flag("banner_text", value="by webhook")
    answer = app.test_client().post(PATH, data=recorded["body"], headers=recorded["headers"])
    assert answer.status_code == 200
    changed.wait()


@pytest.mark.slow
def test_override_for_one_identity_costs_one_fetch(
    make_hooked: MakeHooked, emulator: Emulator
) -> None:
    app = make_hooked()
    changed = Received(flags_changed, app)
    with emulator.silent():
        emulator.override_identity("ann", "banner_text", value="for ann")
    # Dated later than the environment, whose epoch it leaves as it is.
    body = body_at("2999-01-01T00:00:00Z")
    assert call(app, body, sign(body)).status_code == 200
    assert changed.wait()["changes"]["banner_text"].targeting_changed
    assert fetches(emulator) == 2
    source = app.extensions["flagsmith_realtime"].engine._source
    eventually(lambda: source._schedule.open_hint is None)


def test_prefix_can_be_chosen(make_app: MakeApp) -> None:
    flagsmith = FlagsmithRealtime()
    app = make_app(flagsmith, WEBHOOK_SECRET=SECRET)
    app.register_blueprint(flagsmith.webhook, url_prefix="/hooks/flags")
    assert call(app, body_at(), sign(body_at()), "/hooks/flags/webhook").status_code == 200


def test_missing_secret_raises_at_the_registration(make_app: MakeApp) -> None:
    flagsmith = FlagsmithRealtime()
    app = make_app(flagsmith)
    with pytest.raises(ConfigError, match=r"needs FLAGSMITH_WEBHOOK_SECRET: a long random text"):
        app.register_blueprint(flagsmith.webhook)


def test_secret_that_no_signature_can_be_made_with_stops_the_start(make_app: MakeApp) -> None:
    # As os.environ gives a byte that is not UTF-8.
    secret = b"hush\xff".decode("utf-8", "surrogateescape")
    with pytest.raises(ConfigError, match="FLAGSMITH_WEBHOOK_SECRET must be UTF-8") as caught:
        make_app(FlagsmithRealtime(), WEBHOOK_SECRET=secret)
    assert "hush" not in str(caught.value)


def test_under_test_missing_secret_raises_at_the_first_call(emulator: Emulator) -> None:
    app = Flask("shop")
    app.config.update(emulator.config, TESTING=True)
    flagsmith = FlagsmithRealtime(app)
    app.register_blueprint(flagsmith.webhook)
    with pytest.raises(ConfigError, match="needs FLAGSMITH_WEBHOOK_SECRET"):
        call(app, body_at(), sign(body_at()))


def test_under_test_a_call_starts_nothing(emulator: Emulator) -> None:
    app = Flask("shop")
    app.config.update(emulator.config, TESTING=True, FLAGSMITH_WEBHOOK_SECRET=SECRET)
    flagsmith = FlagsmithRealtime(app)
    app.register_blueprint(flagsmith.webhook)
    assert call(app, body_at(), sign(body_at())).status_code == 200
    assert not emulator.calls


def test_process_that_has_not_started_starts(make_app: MakeApp, emulator: Emulator) -> None:
    flagsmith = FlagsmithRealtime()
    app = make_app(flagsmith, WEBHOOK_SECRET=SECRET, AUTOSTART=False)
    app.register_blueprint(flagsmith.webhook)
    refreshed = Received(snapshot_refreshed, app)
    assert call(app, body_at(), sign(body_at())).status_code == 200
    refreshed.wait()


def test_nothing_of_a_call_is_logged_above_debug(
    make_hooked: MakeHooked, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_hooked()
    with caplog.at_level(logging.INFO, "flask_flagsmith_realtime"):
        assert call(app, body_at(), sign(body_at())).status_code == 200
    assert "webhook" not in caplog.text


@given(body=st.binary(max_size=200), secret=st.text(min_size=1, max_size=50))
def test_signature_is_flagsmiths(body: bytes, secret: str) -> None:
    assert is_signed(body, sign(body, secret), secret)
    assert not is_signed(body + b"!", sign(body, secret), secret)


def test_moment_is_that_of_the_change() -> None:
    assert parse_webhook(body_at("2021-06-18T07:50:26.595298Z")) == 1624002626.595298
    assert parse_webhook(body_at()) is None
    assert parse_webhook(body_at("yesterday")) is None
    assert parse_webhook(body_at("2021-06-18T07:50:26.595298Z", "FLAG_DELETED")) is None


#: The possible answers: with a change, with nothing new, of the webhook's moment, or failed.
answers = st.sampled_from(["changed", "same", "caught up", "failed"])


@given(
    calls=st.lists(st.tuples(st.floats(0, 3), st.sampled_from([None, 5.0])), min_size=1),
    shown=st.lists(answers, max_size=20),
)
def test_webhooks_cost_at_most_three_fetches_each(
    calls: list[tuple[float, float | None]], shown: list[str]
) -> None:
    schedule = Schedule(0.25, 1e9, 0.0, random=lambda: 0.5)
    now, made, failed = 100.0, 0, 0
    schedule.started(now)
    schedule.answered(1.0, now)
    pending = iter(calls)
    upcoming = next(pending, None)
    at = now + upcoming[0] if upcoming else None
    outcomes = iter(shown)
    while True:
        due = schedule.due
        if at is not None and upcoming is not None and at <= due:
            now = max(now, at)
            schedule.hinted(upcoming[1], now)
            upcoming = next(pending, None)
            at = now + upcoming[0] if upcoming else None
            continue
        if due > now + 1000:
            break
        now = max(now, due)
        schedule.started(now)
        made += 1
        outcome = next(outcomes, "same")
        if outcome == "failed":
            failed += 1
            schedule.failed(now)
            continue
        schedule.answered(5.0 if outcome == "caught up" else None, now)
        if outcome == "changed":
            schedule.saw_change(None)
    assert made <= (1 + len(HINT_RETRY_SECONDS)) * len(calls) + failed
