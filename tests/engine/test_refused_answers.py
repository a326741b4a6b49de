"""Answers that claim what cannot be: the last good flags serve, and the log names the cause."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, flags
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.waiting import eventually


@pytest.fixture
def flagsmith() -> Iterator[MisbehavingFlagsmith]:
    with MisbehavingFlagsmith() as running:
        yield running


@pytest.fixture
def extension(flagsmith: MisbehavingFlagsmith) -> Iterator[tuple[FlagsmithRealtime, Flask]]:
    app, extension = Flask("shop"), FlagsmithRealtime()
    app.config.update(flagsmith.config, FLAGSMITH_ENVIRONMENT_REFRESH_INTERVAL_SECONDS=3600)
    extension.init_app(app)
    flagsmith.wait_for_streams(1)
    eventually(lambda: extension.status.epoch is not None)
    yield extension, app
    extension.stop(app)


def banner(app: Flask) -> object:
    with app.app_context():
        return flags["banner_text"].value


def test_a_document_of_another_environment_is_refused(
    flagsmith: MisbehavingFlagsmith,
    extension: tuple[FlagsmithRealtime, Flask],
    caplog: pytest.LogCaptureFixture,
) -> None:
    realtime, app = extension
    before = banner(app)
    flagsmith.environment_document.always(answers.of_another_environment)
    flagsmith.change("banner_text", value="not served")
    eventually(lambda: "of another environment than before" in caplog.text)
    assert banner(app) == before
    assert realtime.status.state == "stale"
    flagsmith.environment_document.always(answers.truth)
    flagsmith.change("banner_text", value="right")
    eventually(lambda: banner(app) == "right")
    assert caplog.text.count("of another environment than before") == 1


def test_an_epoch_of_the_future_does_not_stop_the_flags(
    flagsmith: MisbehavingFlagsmith,
    extension: tuple[FlagsmithRealtime, Flask],
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, app = extension
    flagsmith.environment_document.next(answers.in_the_future)
    for value in ("at the wrong time", "and then"):
        flagsmith.change("banner_text", value=value)
        eventually(partial(shows, app, value))
    assert caplog.text.count("which is in the future") == 1


def shows(app: Flask, value: str) -> bool:
    return banner(app) == value


@pytest.mark.slow
def test_a_change_that_is_announced_and_never_served_makes_the_flags_stale(
    flagsmith: MisbehavingFlagsmith,
    extension: tuple[FlagsmithRealtime, Flask],
    caplog: pytest.LogCaptureFixture,
) -> None:
    realtime, app = extension
    flagsmith.environment_document.always(answers.serving(flagsmith.truth.version))
    flagsmith.change("banner_text", value="only announced")
    eventually(lambda: realtime.status.state == "stale")
    eventually(lambda: "does not serve yet" in caplog.text)
    flagsmith.environment_document.always(answers.truth)
    eventually(lambda: banner(app) == "only announced")
    eventually(lambda: realtime.status.state == "live")
    eventually(lambda: "serves what the stream announced" in caplog.text)


def test_an_epoch_of_the_near_future_is_taken(
    flagsmith: MisbehavingFlagsmith, extension: tuple[FlagsmithRealtime, Flask]
) -> None:
    # Clocks differ by minutes.
    realtime, app = extension
    soon = time.time() + 600
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(soon))
    flagsmith.environment_document.always(
        answers.mangled(lambda document: {**document, "updated_at": moment})
    )
    flagsmith.change("banner_text", value="soon")
    eventually(lambda: banner(app) == "soon")
    eventually(lambda: (realtime.status.epoch or 0) == pytest.approx(soon, abs=1.1))


def test_the_environment_is_that_of_the_snapshot_file(
    flagsmith: MisbehavingFlagsmith, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {**flagsmith.config, "FLAGSMITH_SNAPSHOT_FILE": str(tmp_path / "flags")}
    first, second = Flask("first"), Flask("second")
    realtime = FlagsmithRealtime()
    for app in (first, second):
        app.config.update(settings)
    realtime.init_app(first)
    eventually((tmp_path / "flags").exists)
    before = banner(first)
    realtime.stop(first)
    flagsmith.environment_document.always(answers.of_another_environment)
    realtime.init_app(second)
    try:
        assert banner(second) == before
        eventually(lambda: "of another environment than before" in caplog.text)
        flagsmith.environment_document.always(answers.truth)
        flagsmith.change("banner_text", value="right")
        eventually(partial(shows, second, "right"))
    finally:
        realtime.stop(second)
