"""Usage analytics: what is counted, what is posted, and what happens when that fails."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

import pytest
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, flags
from flask_flagsmith_realtime.app_state import state_of
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.version import __version__
from tests.support.apps import MakeApp
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.servers import Serve, gunicorn
from tests.support.waiting import PATIENCE_SECONDS, eventually

#: Only a stop posts.
NEVER = 3600


def read(app: Flask, *names: str) -> None:
    with app.app_context():
        for name in names:
            flags.is_feature_enabled(name)


def test_each_context_counts_a_feature_once(make_app: MakeApp, emulator: Emulator) -> None:
    app = make_app(ENABLE_ANALYTICS=True, ANALYTICS_INTERVAL_SECONDS=0.1)
    for _ in range(3):
        read(app, "banner_text", "banner_text", "pricing", "no_such_feature")
    eventually(lambda: emulator.analytics == {"banner_text": 3, "pricing": 3})
    read(app, "pricing")
    eventually(lambda: emulator.analytics == {"banner_text": 3, "pricing": 4})


def test_nothing_is_posted_unless_it_is_enabled(make_app: MakeApp, emulator: Emulator) -> None:
    app = make_app(ANALYTICS_INTERVAL_SECONDS=0.1)
    read(app, "banner_text")
    FlagsmithRealtime().stop(app)
    assert "analytics/flags/" not in emulator.calls


def test_an_idle_app_posts_nothing_and_has_no_thread(make_app: MakeApp, emulator: Emulator) -> None:
    app = make_app(ENABLE_ANALYTICS=True, ANALYTICS_INTERVAL_SECONDS=0.1)
    assert emulator.wait_for_streams(1)
    read(app, "banner_text")
    reporter = state_of(app).reporter
    eventually(lambda: emulator.analytics["banner_text"] == 1 and reporter._thread is None)
    assert emulator.calls["analytics/flags/"] == 1


def test_stop_posts_what_there_is_and_ends_it(make_app: MakeApp, emulator: Emulator) -> None:
    flagsmith = FlagsmithRealtime()
    app = make_app(flagsmith, ENABLE_ANALYTICS=True, ANALYTICS_INTERVAL_SECONDS=NEVER)
    read(app, "banner_text")
    flagsmith.stop(app)
    assert emulator.analytics == {"banner_text": 1}
    read(app, "banner_text")
    flagsmith.start(app)
    read(app, "pricing")
    flagsmith.stop(app)
    assert emulator.analytics == {"banner_text": 1, "pricing": 1}


def test_an_app_under_test_posts_nothing(make_app: MakeApp, emulator: Emulator) -> None:
    app = make_app(ENABLE_ANALYTICS=True, ANALYTICS_INTERVAL_SECONDS=0.1)
    app.testing = True
    read(app, "banner_text")
    FlagsmithRealtime().stop(app)
    assert emulator.calls["analytics/flags/"] == 0


def test_request_carries_the_key_and_the_names(
    flagsmith: MisbehavingFlagsmith, make_app: MakeApp
) -> None:
    flagsmith.other.always(answers.status(200))
    settings = {
        "ENABLE_ANALYTICS": True,
        "CUSTOM_HEADERS": {"X-Gateway": "secret"},
        "APPLICATION_NAME": "shop",
        "APPLICATION_VERSION": "7",
    }
    app = follow(make_app, flagsmith, **settings)
    read(app, "banner_text")
    FlagsmithRealtime().stop(app)
    [request] = flagsmith.other.requests
    assert (request.method, request.path) == ("POST", "/api/v1/analytics/flags/")
    assert json.loads(request.body) == {"banner_text": 1}
    [fetch, *_] = flagsmith.environment_document.requests
    for headers in (request.headers, fetch.headers):
        assert headers["x-environment-key"] == flagsmith.server_side_key
        assert headers["user-agent"] == f"flask-flagsmith-realtime/{__version__}"
        assert headers["flagsmith-sdk-user-agent"].startswith("flagsmith-python-sdk/")
        assert headers["flagsmith-application-name"] == "shop"
        assert headers["flagsmith-application-version"] == "7"
        assert headers["x-gateway"] == "secret"
    assert request.headers["content-type"] == "application/json"
    assert flagsmith.leaks == []


def test_other_origin_gets_the_key_but_no_custom_headers(
    flagsmith: MisbehavingFlagsmith, make_app: MakeApp
) -> None:
    settings = {
        "ENABLE_ANALYTICS": True,
        "ANALYTICS_URL": f"{flagsmith.elsewhere_server.origin}/usage/",
        "CUSTOM_HEADERS": {"X-Own": "secret"},
    }
    app = follow(make_app, flagsmith, **settings)
    read(app, "banner_text")
    FlagsmithRealtime().stop(app)
    [request] = flagsmith.elsewhere.requests
    assert request.path == "/usage/"
    assert request.headers["x-environment-key"] == flagsmith.server_side_key
    assert "x-own" not in request.headers


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (answers.status(503), "it answered 503 Service Unavailable"),
        (answers.status(307, {"Location": "/elsewhere"}), "it answered 307 Temporary Redirect"),
        (answers.reset, "connection reset by peer"),
    ],
)
def test_failed_report_is_retried_once_then_dropped_and_logged(
    flagsmith: MisbehavingFlagsmith,
    make_app: MakeApp,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    failure: Any,
    reason: str,
) -> None:
    monkeypatch.setattr("flask_flagsmith_realtime.reporting.reporter._RETRY_SECONDS", 0.05)
    flagsmith.other.next(failure, failure, failure, failure)
    flagsmith.other.always(answers.status(200))
    app = follow(make_app, flagsmith, ENABLE_ANALYTICS=True, ANALYTICS_INTERVAL_SECONDS=0.1)
    with caplog.at_level(logging.WARNING):
        for count in (2, 4):
            read(app, "banner_text")
            flagsmith.wait_for(lambda: flagsmith.other.count == count)  # noqa: B023
            eventually(lambda: state_of(app).reporter._thread is None)
        read(app, "pricing")
        flagsmith.wait_for(lambda: flagsmith.other.count == 5)
        eventually(lambda: "takes reports of usage again" in caplog.text)
    assert json.loads(flagsmith.other.requests[-1].body) == {"pricing": 1}
    [line] = [record for record in caplog.records if "could not be reported" in record.message]
    assert reason in line.message
    assert flagsmith.server_side_key not in caplog.text


def test_retry_delivers_the_same_counts(
    flagsmith: MisbehavingFlagsmith,
    make_app: MakeApp,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flask_flagsmith_realtime.reporting.reporter._RETRY_SECONDS", 0.05)
    flagsmith.other.next(answers.status(500), answers.status(200))
    app = follow(make_app, flagsmith, ENABLE_ANALYTICS=True, ANALYTICS_INTERVAL_SECONDS=0.1)
    read(app, "banner_text")
    flagsmith.wait_for(lambda: flagsmith.other.count == 2)
    assert [json.loads(request.body) for request in flagsmith.other.requests] == [
        {"banner_text": 1}
    ] * 2
    assert "could not be reported" not in caplog.text


def test_stop_does_not_wait_for_an_api_that_hangs(
    flagsmith: MisbehavingFlagsmith, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_flagsmith_realtime.reporting.reporter._FAREWELL_SECONDS", 0.1)
    flagsmith.other.always(answers.hang)
    # The request would not end by itself while this test has patience.
    settings = {"ANALYTICS_INTERVAL_SECONDS": 0.1, "REQUEST_TIMEOUT_SECONDS": 10 * PATIENCE_SECONDS}
    app = follow(make_app, flagsmith, ENABLE_ANALYTICS=True, **settings)
    read(app, "banner_text")
    flagsmith.wait_for(lambda: flagsmith.other.count == 1)
    FlagsmithRealtime().stop(app)
    thread = state_of(app).reporter._thread
    eventually(lambda: thread is None or not thread.is_alive())
    [request] = flagsmith.other.requests
    flagsmith.wait_for(lambda: request.ended_at is not None)


def test_forked_child_begins_at_zero(make_app: MakeApp, emulator: Emulator) -> None:
    app = make_app(ENABLE_ANALYTICS=True, ANALYTICS_INTERVAL_SECONDS=NEVER)
    read(app, "banner_text")
    child = os.fork()
    if child == 0:
        try:
            read(app, "pricing")
            FlagsmithRealtime().stop(app)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert emulator.analytics == {"pricing": 1}
    FlagsmithRealtime().stop(app)
    assert emulator.analytics == {"banner_text": 1, "pricing": 1}


@pytest.mark.parametrize("worker", ["gthread", "gevent"])
def test_workers_of_gunicorn_post_at_their_exit(
    serve: Serve, emulator: Emulator, worker: str
) -> None:
    settings = {"ENABLE_ANALYTICS": True, "ANALYTICS_INTERVAL_SECONDS": NEVER}
    server = serve(
        gunicorn("--workers", "2", "--worker-class", worker, "--threads", "2", "--preload"),
        **settings,
    )
    server.wait_for_all(2, lambda answer: True)
    before = server.output
    for _ in range(10):
        server.get()
    assert server.stop() == 0
    # 16 at least: those of the wait for both workers are counted as well.
    assert emulator.analytics["banner_text"] >= 18
    assert emulator.calls["analytics/flags/"] == 2
    assert "Traceback" not in server.output, before + server.output


def follow(make_app: MakeApp, flagsmith: MisbehavingFlagsmith, **settings: Any) -> Flask:
    """Make an app that follows the misbehaving Flagsmith, and wait for its first flags."""
    own = {name.removeprefix("FLAGSMITH_"): value for name, value in flagsmith.config.items()}
    settings = {"ANALYTICS_INTERVAL_SECONDS": NEVER, **own, **settings}
    app = make_app(**settings)
    with app.app_context():
        assert flags.epoch
    return app
