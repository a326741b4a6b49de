"""Remote evaluation of identities while Flagsmith's API fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import pytest
from flask import Flask

from flask_flagsmith_realtime import (
    FetchError,
    Identity,
    flags,
    flags_changed,
    refresh_failed,
)
from flask_flagsmith_realtime.client import API
from flask_flagsmith_realtime.identities.remote import _RETRY_SECONDS as RETRY_SECONDS
from tests.support.apps import MakeApp, Received
from tests.support.logs import events
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.remote_identities import ALICE, bodies, mark, read
from tests.support.waiting import PATIENCE_SECONDS, eventually

FAILURES = {
    "500": answers.status(500),
    "502 HTML": answers.html(502),
    "200 HTML": answers.html(200),
    "empty object": answers.body(b"{}"),
    "a list": answers.body(b"[]"),
    "a wrong flag": answers.mangled(lambda answer: answer["flags"][0].pop("enabled")),
    "a wrong variant": answers.mangled(lambda answer: answer["flags"][0].update(variant={})),
    "no usable experiment": answers.mangled(
        lambda answer: answer["flags"][0].update(metadata={"experiment": {"x": 1}})
    ),
    "cut off": answers.cut_off,
    "reset": answers.reset,
    "vanished": answers.vanish,
    "redirected": answers.redirect("http://127.0.0.1:9/"),
    "forbidden": answers.forbid,
    "too many": answers.too_many("1"),
}
ENDLESS = {
    "hanging": answers.hang,
    "hanging in the body": answers.hang_in_body,
    **answers.DRIPS,
}


@pytest.fixture
def app(make_remote_app: MakeApp) -> Flask:
    """An app that keeps answers for a moment only."""
    return make_remote_app(IDENTITY_TTL_SECONDS=0.1)


@pytest.fixture
def hasty_app(make_remote_app: MakeApp) -> Flask:
    """An app whose calls may last a moment only."""
    return make_remote_app(IDENTITY_TTL_SECONDS=0.1, REQUEST_TIMEOUT_SECONDS=0.3)


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_a_new_identity_gets_the_environments_flags_while_calls_fail(
    app: Flask, flagsmith: MisbehavingFlagsmith, failure: Any
) -> None:
    check_failure(app, flagsmith, failure)
    assert flagsmith.identities.count == 1


@pytest.mark.parametrize("failure", ENDLESS.values(), ids=ENDLESS)
def test_a_new_identity_gets_the_environments_flags_while_answers_do_not_end(
    hasty_app: Flask, flagsmith: MisbehavingFlagsmith, failure: Any
) -> None:
    check_failure(hasty_app, flagsmith, failure)
    # The time may be over before the server has read the call.
    assert flagsmith.identities.count <= 1


def check_failure(app: Flask, flagsmith: MisbehavingFlagsmith, failure: Any) -> None:
    failed = failed_calls(app)
    flagsmith.identities.always(failure)
    with app.app_context():
        environments = flags["banner_text"].value
    assert read(app) == environments
    (error,) = failed()
    assert isinstance(error, FetchError)
    assert "alice" not in str(error)


def failed_calls(app: Flask) -> Callable[[], list[FetchError]]:
    """Return a function that returns the errors of the calls for identities from now on."""
    failed = Received(refresh_failed, app)
    # Sent by the thread that reads. The environment's fetches may fail in a hasty app, too.
    return lambda: [c["error"] for c in failed.all if "identities/" in str(c["error"])]


def test_a_known_identity_gets_its_last_good_answer_while_calls_fail(
    make_remote_app: MakeApp,
    flagsmith: MisbehavingFlagsmith,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = make_remote_app(IDENTITY_TTL_SECONDS=3600)
    changed, failed = Received(flags_changed, app), failed_calls(app)
    before = read(app)
    flagsmith.identities.always(answers.status(500))
    flagsmith.change("banner_text", value="new")
    changed.wait()
    begin = time.monotonic()
    for _ in range(20):
        assert read(app) == before
    assert 1 <= len(failed()) <= 1 + (time.monotonic() - begin) / RETRY_SECONDS
    assert events(caplog) == ["identity_fetch_trouble"]


def test_an_answer_after_failures_is_used_and_logged(
    app: Flask, flagsmith: MisbehavingFlagsmith, caplog: pytest.LogCaptureFixture
) -> None:
    flagsmith.identities.next(answers.status(500))
    flagsmith.identities.always(answers.mangled(mark))
    assert read(app) != "marked"
    eventually(lambda: read(app) == "marked")
    assert events(caplog) == ["identity_fetch_trouble", "identity_fetch_recovered"]


def test_an_api_that_hangs_delays_one_request(
    hasty_app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    failed = failed_calls(hasty_app)
    flagsmith.identities.always(answers.hang)
    read(hasty_app, Identity("first"))
    assert len(failed()) == 1
    for number in range(200):
        read(hasty_app, Identity(f"identity {number}"))
    # Far fewer calls than requests: the others do not wait for a timeout.
    assert len(failed()) < 10


def test_waiting_for_a_shared_call_is_bounded_by_the_timeout(
    hasty_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Identity] = []
    over = threading.Event()

    def hang(api: API, identity: Identity) -> NoReturn:
        called.append(identity)
        over.wait(PATIENCE_SECONDS)
        raise FetchError("It hangs.")

    monkeypatch.setattr(API, "fetch_identity", hang)
    with ThreadPoolExecutor(4) as threads:
        reads = [threads.submit(read, hasty_app) for _ in range(4)]
        # All but the one that calls.
        eventually(lambda: sum(one.done() for one in reads) == 3)
        over.set()
    with hasty_app.app_context():
        assert {one.result() for one in reads} == {flags["banner_text"].value}
    assert len(called) == 1


def test_a_request_calls_once_even_if_the_call_fails(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    flagsmith.identities.next(answers.status(500))
    with app.app_context():
        first = flags.for_identity(ALICE)["banner_text"].value
        # In other requests another call would be made by now.
        eventually(lambda: read(app, Identity("bob")) and flagsmith.identities.count > 1)
        assert flags.for_identity(ALICE)["banner_text"].value == first
    assert [asked["identifier"] for asked in bodies(flagsmith)] == [
        "alice@example.com",
        "bob",
    ]


def test_a_refused_identity_does_not_affect_other_identities(
    make_remote_app: MakeApp, flagsmith: MisbehavingFlagsmith
) -> None:
    app = make_remote_app(IDENTITY_TTL_SECONDS=3600)
    failed = Received(refresh_failed, app)

    def answer(call: answers.Call) -> None:
        refuse = b"too long" in call.exchange.request.body
        (answers.status(400) if refuse else answers.mangled(mark))(call)

    flagsmith.identities.always(answer)
    for _ in range(3):
        assert read(app, Identity("bad", {"trait": "too long"})) != "marked"
        assert read(app) == "marked"
    assert flagsmith.identities.count == 2
    assert "Check the identity's identifier and traits" in str(failed.wait()["error"])


def test_receivers_of_refresh_failed_can_read_flags(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    seen = []

    @refresh_failed.connect_via(app)
    def receive(app: Flask, **_: Any) -> None:
        seen.append(flags.for_identity(ALICE)["banner_text"].value)

    flagsmith.identities.always(answers.status(500))
    read(app)
    assert len(seen) == 1


def test_a_receiver_that_raises_does_not_fail_the_request(
    app: Flask, flagsmith: MisbehavingFlagsmith, caplog: pytest.LogCaptureFixture
) -> None:
    @refresh_failed.connect_via(app)
    def receive(app: Flask, **_: Any) -> None:
        raise ValueError("no")

    flagsmith.identities.always(answers.status(500))
    assert read(app) is not None
    assert "receiver_failed" in events(caplog)


def test_the_key_does_not_follow_a_redirect_to_another_origin(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    flagsmith.identities.always(answers.redirect(flagsmith.elsewhere_url, 307))
    read(app)
    assert flagsmith.elsewhere.count == 0


def test_a_refusal_is_logged_once_although_other_calls_succeed(
    app: Flask, flagsmith: MisbehavingFlagsmith, caplog: pytest.LogCaptureFixture
) -> None:
    for who in ("alice", "bob"):
        flagsmith.identities.next(answers.status(400))
        read(app, Identity(who))
        read(app, Identity(f"{who}'s sister"))
    assert events(caplog) == ["identity_refused_trouble"]


def test_an_unexpected_error_is_logged_once(
    app: Flask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(api: API, identity: Identity) -> NoReturn:
        raise RuntimeError(f"failed for {identity.identifier}")

    monkeypatch.setattr(API, "fetch_identity", fail)
    failed = Received(refresh_failed, app)
    read(app, Identity("alice"))
    eventually(lambda: read(app, Identity("bob")) and len(failed.all) == 2)
    assert events(caplog) == ["identity_fetch_crashed", "identity_fetch_trouble"]
    assert caplog.records[0].exc_info


def test_a_request_killed_during_a_call_leaves_no_call_behind(
    app: Flask, flagsmith: MisbehavingFlagsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    class WorkerTimeout(BaseException):
        """Stands for what a server raises in a worker that takes too long."""

    def end(api: API, identity: Identity) -> NoReturn:
        raise WorkerTimeout

    flagsmith.identities.always(answers.mangled(mark))
    with monkeypatch.context() as patch:
        patch.setattr(API, "fetch_identity", end)
        with pytest.raises(WorkerTimeout):
            read(app)
    assert read(app) == "marked"
