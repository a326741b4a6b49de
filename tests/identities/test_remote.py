"""Remote evaluation of identities: how often Flagsmith is asked, and what serves if it fails."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from flask_flagsmith_realtime import (
    FetchError,
    FlagsmithRealtime,
    Identity,
    flags,
    flags_changed,
    refresh_failed,
)
from flask_flagsmith_realtime.app_state import EXTENSION
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.identities.circuit_breaker import CircuitBreaker
from tests.support.apps import MakeApp, Received
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.waiting import eventually

ALICE = Identity("alice@example.com")


@pytest.fixture
def make(flagsmith: MisbehavingFlagsmith) -> Iterator[Callable[..., Flask]]:
    """Makes apps with the client-side key. Settings are given without their prefix."""
    apps: list[Flask] = []

    def make_app(**given: Any) -> Flask:
        app = Flask("shop")
        app.config.update(flagsmith.config)
        app.config["FLAGSMITH_ENVIRONMENT_KEY"] = flagsmith.client_side_key
        app.config.update({f"FLAGSMITH_{name}": value for name, value in given.items()})
        FlagsmithRealtime(app)
        apps.append(app)
        with app.app_context():
            assert flags["new_checkout"]
        flagsmith.wait_for_streams(len(apps))
        return app

    yield make_app
    for app in apps:
        app.extensions[EXTENSION].engine.stop()


@pytest.fixture
def app(make: Callable[..., Flask]) -> Flask:
    return make()


def questions(flagsmith: MisbehavingFlagsmith) -> list[Any]:
    """What was asked of ``identities/`` so far."""
    return [json.loads(asked.body) for asked in flagsmith.identities.requests]


def read(app: Flask, identity: Identity = ALICE, feature: str = "banner_text") -> Any:
    """What one request reads."""
    with app.app_context():
        return flags.for_identity(identity)[feature].value


class TestAgainstTheEmulator:
    """The emulator answers what a real server does, see the recordings."""

    def test_gives_what_local_evaluation_gives(self, make_app: MakeApp, emulator: Emulator) -> None:
        emulator.override_identity("ada", "new_checkout", enabled=True)
        apps = make_app(), make_app(ENVIRONMENT_KEY=emulator.client_side_key)
        asking = [
            Identity("ada", {"plan": "pro"}),
            Identity("x", {"plan": "pro", "age": 37}, transient=True),
        ]
        asking += [Identity(f"identity {n}", {"beta": True, "old": None}) for n in range(5)]
        for identity in asking:
            given = []
            for app in apps:
                with app.app_context():
                    all_flags = flags.for_identity(identity).all_flags()
                given.append({(f.feature_name, f.enabled, f.value, f.variant) for f in all_flags})
            assert given[0] == given[1]
        assert emulator.calls["identities/"] == len(asking)
        with apps[1].app_context():
            assert flags.for_identity("ada")["new_checkout"]
            assert flags.for_identity("ada").segments == ()

    def test_by_the_identity_loader(self, make_app: MakeApp, emulator: Emulator) -> None:
        extension = FlagsmithRealtime()
        app = make_app(extension, ENVIRONMENT_KEY=emulator.client_side_key)
        extension.identity_loader(lambda: Identity("dan", {"plan": "pro"}))
        with app.app_context():
            given = flags["beta_dashboard"].enabled
            assert flags.is_feature_enabled("beta_dashboard") is given
        assert emulator.calls["identities/"] == 1

    def test_a_change_is_seen_at_the_next_read(self, make_app: MakeApp, emulator: Emulator) -> None:
        app = make_app(ENVIRONMENT_KEY=emulator.client_side_key, IDENTITY_TTL_SECONDS=3600)
        dan = Identity("dan", {"plan": "pro"})
        before = read(app, dan)
        changed = Received(flags_changed, app)
        assert emulator.wait_for_streams(1)
        assert read(app, dan) == before
        assert emulator.calls["identities/"] == 1
        emulator.set_flag("banner_text", value="after")
        changed.wait()
        read(app, dan)
        assert emulator.calls["identities/"] == 2


class TestAsking:
    def test_what_is_asked(self, app: Flask, flagsmith: MisbehavingFlagsmith) -> None:
        identity = Identity("bob", {"plan": "pro", "age": 37, "old": None}, transient=True)
        read(app, identity)
        request = flagsmith.identities.requests[0]
        assert request.method == "POST"
        assert request.headers["x-environment-key"] == flagsmith.client_side_key
        assert json.loads(request.body) == {
            "identifier": "bob",
            "traits": [
                {"trait_key": "plan", "trait_value": "pro"},
                {"trait_key": "age", "trait_value": 37},
                {"trait_key": "old", "trait_value": None},
            ],
            "transient": True,
        }

    def test_once_for_many_requests(self, app: Flask, flagsmith: MisbehavingFlagsmith) -> None:
        for _ in range(5):
            read(app)
        assert questions(flagsmith) == [{"identifier": "alice@example.com", "traits": []}]

    def test_each_identity_for_itself(self, app: Flask, flagsmith: MisbehavingFlagsmith) -> None:
        asking = [
            Identity("alice"),
            Identity("bob"),
            Identity("alice", {"plan": 1}),
            Identity("alice", {"plan": True}),
            Identity("alice", transient=True),
        ]
        for identity in asking * 2:
            read(app, identity)
        assert flagsmith.identities.count == 5
        read(app, Identity("alice", {"a": 1, "b": 2}))
        read(app, Identity("alice", {"b": 2, "a": 1}))
        assert flagsmith.identities.count == 6

    def test_nobody_asks_for_the_environments_flags(
        self, app: Flask, flagsmith: MisbehavingFlagsmith
    ) -> None:
        with app.app_context():
            assert flags["banner_text"].value is not None
        assert flagsmith.identities.count == 0

    def test_the_connection_is_used_again(
        self, app: Flask, flagsmith: MisbehavingFlagsmith
    ) -> None:
        for number in range(4):
            read(app, Identity(f"identity {number}"))
        assert len({request.connection for request in flagsmith.identities.requests}) == 1

    def test_a_connection_that_was_kept_and_is_gone_is_replaced(
        self, app: Flask, flagsmith: MisbehavingFlagsmith
    ) -> None:
        flagsmith.identities.always(answers.mangled(mark))
        read(app)
        # As when a request meets the server's idle time-out.
        flagsmith.identities.next(answers.vanish)
        assert read(app, Identity("bob")) == "marked"
        asked = [request.connection for request in flagsmith.identities.requests]
        assert asked[0] == asked[1] != asked[2]

    def test_requests_at_the_same_time_share_one_call(
        self, app: Flask, flagsmith: MisbehavingFlagsmith
    ) -> None:
        answered = threading.Event()
        inside = threading.Barrier(9)

        def answer(call: answers.Call) -> None:
            answered.wait(20)
            answers.truth(call)

        flagsmith.identities.always(answer)

        def request() -> Any:
            inside.wait(20)
            return read(app)

        with ThreadPoolExecutor(8) as threads:
            results = [threads.submit(request) for _ in range(8)]
            inside.wait(20)
            flagsmith.wait_for(lambda: flagsmith.identities.count == 1)
            answered.set()
            values = {result.result(20) for result in results}
        assert len(values) == 1
        assert flagsmith.identities.count == 1

    def test_different_identities_do_not_wait_for_each_other(
        self, app: Flask, flagsmith: MisbehavingFlagsmith
    ) -> None:
        release = threading.Event()

        def answer(call: answers.Call) -> None:
            if b"slow" in call.exchange.request.body:
                release.wait(20)
            answers.truth(call)

        flagsmith.identities.always(answer)
        with ThreadPoolExecutor(1) as threads:
            slow = threads.submit(read, app, Identity("slow"))
            flagsmith.wait_for(lambda: flagsmith.identities.count == 1)
            assert read(app, Identity("quick")) is not None
            assert not slow.done()
            release.set()
            assert slow.result(20) is not None

    def test_under_test_nothing_is_asked(self, flagsmith: MisbehavingFlagsmith) -> None:
        app = Flask("shop")
        app.testing = True
        app.config.update(flagsmith.config)
        app.config["FLAGSMITH_ENVIRONMENT_KEY"] = flagsmith.client_side_key
        app.config["FLAGSMITH_DEFAULTS"] = {"banner_text": "default"}
        FlagsmithRealtime(app)
        assert read(app) == "default"
        assert flagsmith.calls == []


class TestFreshness:
    def test_an_answer_is_kept_for_a_time(
        self, make: Callable[..., Flask], flagsmith: MisbehavingFlagsmith
    ) -> None:
        app = make(IDENTITY_TTL_SECONDS=0.1)
        read(app)
        eventually(lambda: read(app) and flagsmith.identities.count == 2)

    def test_a_newer_epoch_makes_it_stale(
        self, make: Callable[..., Flask], flagsmith: MisbehavingFlagsmith
    ) -> None:
        app = make(IDENTITY_TTL_SECONDS=3600)
        changed = Received(flags_changed, app)
        assert read(app) != "new"
        flagsmith.change("banner_text", value="new")
        changed.wait()
        assert read(app) == "new"
        assert read(app) == "new"
        assert flagsmith.identities.count == 2

    def test_a_lagging_header_does_not_hide_a_change(
        self, make: Callable[..., Flask], flagsmith: MisbehavingFlagsmith
    ) -> None:
        # The flags are new at once, the epoch in the header is not.
        flagsmith.flags.always(answers.lagging_header(3600))
        flagsmith.identities.always(answers.lagging_header(3600))
        app = make(IDENTITY_TTL_SECONDS=3600)
        changed = Received(flags_changed, app)
        read(app)
        flagsmith.change("banner_text", value="new")
        changed.wait()
        assert read(app) == "new"
        # Refetches of the same state, for the header's sake, cost nothing.
        fetched = flagsmith.flags.count
        flagsmith.wait_for(lambda: flagsmith.flags.count >= fetched + 2)
        read(app)
        assert flagsmith.identities.count == 2
        # A newer header then costs one call: what changed may not show in the environment.
        flagsmith.flags.always(answers.truth)
        held = app.extensions[EXTENSION].engine
        epoch = flagsmith.truth.version.epoch
        eventually(lambda: held.read().epoch == epoch)
        read(app)
        read(app)
        assert flagsmith.identities.count == 3

    def test_one_request_sees_one_state(
        self, make: Callable[..., Flask], flagsmith: MisbehavingFlagsmith
    ) -> None:
        app = make(IDENTITY_TTL_SECONDS=0.1)
        changed = Received(flags_changed, app)
        with app.app_context():
            before = flags.for_identity(ALICE)["banner_text"].value
            flagsmith.change("banner_text", value="new")
            changed.wait()
            assert flags.for_identity(ALICE)["banner_text"].value == before
            assert flags.for_identity(ALICE).for_identity(ALICE)["banner_text"].value == before
            assert flagsmith.identities.count == 1
        assert read(app) == "new"

    def test_the_least_recently_used_goes_first(
        self, app: Flask, flagsmith: MisbehavingFlagsmith
    ) -> None:
        remote = app.extensions[EXTENSION]._remote
        with app.app_context():
            for number in range(3):
                read(app, Identity(f"identity {number}"))
            read(app, Identity("identity 0"))
            template = remote._answers[Identity("identity 0").key]
            for number in range(1022):
                remote._keep(f"filler {number}", template)
        assert len(remote._answers) == 1024
        read(app, Identity("identity 0"))
        read(app, Identity("identity 2"))
        assert flagsmith.identities.count == 3
        read(app, Identity("identity 1"))
        assert flagsmith.identities.count == 4

    def test_equal_flags_are_shared(self, app: Flask) -> None:
        with app.app_context():
            one, two = flags.for_identity("one"), flags.for_identity("two")
            assert one["banner_text"] is two["banner_text"]


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
    "hanging": answers.hang,
    "hanging in the body": answers.hang_in_body,
    "forbidden": answers.forbid,
    "too many": answers.too_many("1"),
    **answers.DRIPS,
}


class TestFailures:
    @pytest.fixture
    def app(self, make: Callable[..., Flask]) -> Flask:
        return make(IDENTITY_TTL_SECONDS=0.1, REQUEST_TIMEOUT_SECONDS=0.3)

    @pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
    def test_the_environments_flags_serve_somebody_new(
        self, app: Flask, flagsmith: MisbehavingFlagsmith, failure: Any
    ) -> None:
        failed = Received(refresh_failed, app)
        flagsmith.identities.always(failure)
        with app.app_context():
            environments = flags["banner_text"].value
        assert read(app) == environments
        error = failed.wait()["error"]
        assert isinstance(error, FetchError)
        assert "identities/" in str(error)
        assert "alice" not in str(error)
        assert flagsmith.identities.count == 1

    def test_the_last_good_answer_serves_who_has_one(
        self,
        make: Callable[..., Flask],
        flagsmith: MisbehavingFlagsmith,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        app = make(IDENTITY_TTL_SECONDS=3600, REQUEST_TIMEOUT_SECONDS=0.3)
        changed, failed = Received(flags_changed, app), Received(refresh_failed, app)
        before = read(app)
        flagsmith.identities.always(answers.status(500))
        flagsmith.change("banner_text", value="new")
        changed.wait()
        for _ in range(20):
            assert read(app) == before
        assert len(failed.all) <= 2
        said = [
            r
            for r in caplog.records
            if getattr(r, "flagsmith_event", "") == "identity_fetch_trouble"
        ]
        assert len(said) == 1
        assert "Flagsmith answered 500" in said[0].getMessage()

    def test_recovers(
        self, app: Flask, flagsmith: MisbehavingFlagsmith, caplog: pytest.LogCaptureFixture
    ) -> None:
        flagsmith.identities.next(answers.status(500))
        flagsmith.identities.always(answers.mangled(mark))
        assert read(app) != "marked"
        eventually(lambda: read(app) == "marked")
        assert "Flagsmith's API answers for identities again." in caplog.text

    def test_a_dead_api_costs_one_request_its_timeout(
        self, app: Flask, flagsmith: MisbehavingFlagsmith
    ) -> None:
        flagsmith.identities.always(answers.hang)
        read(app, Identity("first"))
        count = flagsmith.identities.count
        for number in range(200):
            read(app, Identity(f"identity {number}"))
        assert count == 1
        # What they cost, all together, is less than a timeout each by far.
        assert flagsmith.identities.count < 10

    def test_who_waits_for_anothers_call_waits_no_longer_than_for_a_call(
        self, app: Flask, flagsmith: MisbehavingFlagsmith
    ) -> None:
        flagsmith.identities.always(answers.hang)
        with ThreadPoolExecutor(4) as threads:
            values = set(threads.map(lambda _: read(app), range(4)))
        with app.app_context():
            assert values == {flags["banner_text"].value}
        assert flagsmith.identities.count == 1

    def test_one_request_asks_once_whatever_comes_of_it(
        self, app: Flask, flagsmith: MisbehavingFlagsmith
    ) -> None:
        flagsmith.identities.next(answers.status(500))
        with app.app_context():
            first = flags.for_identity(ALICE)["banner_text"].value
            # In other requests it would be asked again by now.
            eventually(lambda: read(app, Identity("bob")) and flagsmith.identities.count > 1)
            assert flags.for_identity(ALICE)["banner_text"].value == first
        assert [asked["identifier"] for asked in questions(flagsmith)] == [
            "alice@example.com",
            "bob",
        ]

    def test_an_identity_that_is_refused_is_nobody_elses_trouble(
        self, make: Callable[..., Flask], flagsmith: MisbehavingFlagsmith
    ) -> None:
        app = make(IDENTITY_TTL_SECONDS=3600)
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

    def test_receivers_may_read_flags(self, app: Flask, flagsmith: MisbehavingFlagsmith) -> None:
        seen = []

        @refresh_failed.connect_via(app)
        def receive(app: Flask, **_: Any) -> None:
            seen.append(flags.for_identity(ALICE)["banner_text"].value)

        flagsmith.identities.always(answers.status(500))
        read(app)
        assert len(seen) == 1

    def test_a_receiver_that_raises_is_no_trouble(
        self, app: Flask, flagsmith: MisbehavingFlagsmith, caplog: pytest.LogCaptureFixture
    ) -> None:
        @refresh_failed.connect_via(app)
        def receive(app: Flask, **_: Any) -> None:
            raise ValueError("no")

        flagsmith.identities.always(answers.status(500))
        assert read(app) is not None
        assert "receive, a receiver of flagsmith-refresh-failed, failed." in caplog.text

    def test_the_key_goes_nowhere_else(self, app: Flask, flagsmith: MisbehavingFlagsmith) -> None:
        flagsmith.identities.always(answers.redirect(flagsmith.elsewhere_url, 307))
        read(app)
        assert flagsmith.elsewhere.count == 0

    def test_an_identity_that_cannot_be_said_is_its_own_fault(
        self, app: Flask, flagsmith: MisbehavingFlagsmith
    ) -> None:
        failed = Received(refresh_failed, app)
        flagsmith.identities.always(answers.mangled(mark))
        for _ in range(3):
            assert read(app, Identity("alice", {"big": 10**5000})) != "marked"
            assert read(app, Identity("bob")) == "marked"
        assert "Is it a number of thousands of digits?" in str(failed.wait()["error"])

    def test_an_identity_that_cannot_be_said_tells_nothing_of_flagsmith(
        self, make: Callable[..., Flask], flagsmith: MisbehavingFlagsmith
    ) -> None:
        app = make()
        here = app.extensions[EXTENSION]._remote._here()
        flagsmith.identities.next(answers.status(500))
        read(app, Identity("bob"))
        eventually(lambda: here.circuit._closed_until < time.monotonic())
        read(app, Identity("alice", {"big": 10**5000}))
        assert here.circuit._failures == 1

    def test_a_refusal_is_said_once_though_others_are_answered(
        self, app: Flask, flagsmith: MisbehavingFlagsmith, caplog: pytest.LogCaptureFixture
    ) -> None:
        for who in ("alice", "bob"):
            flagsmith.identities.next(answers.status(400))
            read(app, Identity(who))
            read(app, Identity(f"{who}'s sister"))
        assert [record.__dict__["flagsmith_event"] for record in caplog.records] == [
            "identity_refused_trouble"
        ]

    def test_a_mistake_of_ours_is_said_once(
        self, app: Flask, flagsmith: MisbehavingFlagsmith, caplog: pytest.LogCaptureFixture
    ) -> None:
        here = app.extensions[EXTENSION]._remote._here()

        class BrokenAPI:
            def fetch_identity(self, identity: Identity) -> None:
                raise RuntimeError(f"broken for {identity.identifier}")

            def close(self) -> None:
                pass

        for who in ("alice", "bob"):
            here.circuit = CircuitBreaker()
            here.idle.append(BrokenAPI())
            read(app, Identity(who))
        said = [record for record in caplog.records if record.exc_info]
        assert [record.getMessage() for record in said] == [
            "Asking Flagsmith for an identity failed unexpectedly."
        ]
        assert len(caplog.records) == 2

    def test_a_request_that_is_ended_leaves_nothing_behind(
        self, app: Flask, flagsmith: MisbehavingFlagsmith
    ) -> None:
        # As a server's worker timeout does it: by something that is no Exception.
        remote = app.extensions[EXTENSION]._remote

        class Ended(BaseException):
            pass

        def end(*_: Any) -> None:
            raise Ended

        class EndedAPI:
            fetch_identity = end

            def close(self) -> None:
                pass

        remote._here().idle.append(EndedAPI())
        with pytest.raises(Ended):
            read(app)
        assert remote._here().calls == {}
        assert read(app) is not None
        assert flagsmith.identities.count == 1


def mark(answer: Any) -> None:
    """Give an answer that only ``identities/`` gives."""
    for flag in answer["flags"]:
        flag["feature_state_value"] = "marked"


def test_a_forked_child_goes_on_with_its_own_connections(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    context = multiprocessing.get_context("fork")
    before = read(app)
    results = context.SimpleQueue()

    def child() -> None:
        # What was answered before is known; what was not is asked for on a connection of its own.
        results.put((read(app), read(app, Identity("bob"))))

    release = threading.Event()

    def answer(call: answers.Call) -> None:
        if b"under way" in call.exchange.request.body:
            release.wait(20)
        answers.truth(call)

    flagsmith.identities.always(answer)
    with ThreadPoolExecutor(1) as threads:
        # The parent forks while a call is under way: with its lock and its future, if it were bad.
        under_way = threads.submit(read, app, Identity("under way"))
        flagsmith.wait_for(lambda: flagsmith.identities.count == 2)
        process = context.Process(target=child)
        process.start()
        assert results.get() == (before, before)
        process.join(20)
        release.set()
        assert under_way.result(20) == before
    assert process.exitcode == 0
    read(app, Identity("carol"))
    asked = flagsmith.identities.requests
    assert [json.loads(request.body)["identifier"] for request in asked] == [
        "alice@example.com",
        "under way",
        "bob",
        "carol",
    ]
    assert asked[2].connection not in {asked[0].connection, asked[3].connection}
