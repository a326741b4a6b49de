"""Stopping: an app with hanging calls ends at once and logs nothing."""

from __future__ import annotations

import logging
import threading

import pytest
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime
from flask_flagsmith_realtime.monitoring import activity
from tests.support.lanes import WORKERS, MakeLanes, lines
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.waiting import PATIENCE_SECONDS

#: Far longer than the patience of a test.
LONG_TIMEOUTS = {"REQUEST_TIMEOUT_SECONDS": 600, "STREAM_TIMEOUT_SECONDS": 600}

HANGING = pytest.mark.parametrize(
    "answer", [answers.hang, answers.hang_in_body], ids=["no-answer", "half-an-answer"]
)


@HANGING
def test_stopping_an_app_ends_a_hanging_fetch(
    answer: answers.Behaviour, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Flask(__name__)
    extension = FlagsmithRealtime()
    threads = set(threading.enumerate())
    with MisbehavingFlagsmith() as flagsmith:
        app.config.update(flagsmith.config, FLAGSMITH_REQUEST_TIMEOUT_SECONDS=600)
        extension.init_app(app)
        extension.start(app)
        flagsmith.wait_for_streams()
        flagsmith.environment_document.always(answer)
        flagsmith.change("banner_text", value="after")
        calls = flagsmith.environment_document.requests
        flagsmith.wait_for(lambda: any(call.ended_at is None for call in calls))
        # From now on the change counts as late.
        monkeypatch.setattr(activity, "UNSERVED_SECONDS", 0.0)
        threads = {
            thread
            for thread in set(threading.enumerate()) - threads
            if thread.name.startswith("flagsmith-")
        }
        calls_before = len(calls)
        extension.stop(app)
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()
        assert len(calls) == calls_before
    own = {thread.ident for thread in threads}
    logged = [record for record in caplog.records if record.thread in own]
    assert [record for record in logged if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("worker", "answer"),
    [("sync", answers.hang), ("gthread", answers.hang_in_body), ("gevent", answers.hang)],
)
@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "preload"])
def test_a_server_ends_with_open_streams_and_hanging_fetches(
    make_lanes: MakeLanes, worker: str, answer: answers.Behaviour, preload: list[str]
) -> None:
    lanes = make_lanes("hanging", "calm")
    lanes.serve({"hanging": LONG_TIMEOUTS}, "--worker-class", worker, *preload)
    calm, hanging = lanes["calm"], lanes["hanging"]
    for lane in lanes.values():
        lane.flagsmith.wait_for_streams(WORKERS)
    hanging.flagsmith.environment_document.always(answer)
    hanging.flagsmith.change("banner_text", value="after")
    calls = hanging.flagsmith.environment_document.requests
    hanging.flagsmith.wait_for(
        lambda: len([call for call in calls if call.ended_at is None]) == WORKERS
    )
    assert lanes.server.stop(PATIENCE_SECONDS) == 0
    assert lines(lanes.server, "lagsmith", 0) == []
    assert "Traceback" not in lanes.server.output
    calm.flagsmith.wait_for_streams(0)
    hanging.flagsmith.wait_for_streams(0)
