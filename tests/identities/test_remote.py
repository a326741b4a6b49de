"""Remote evaluation of identities: which calls it makes."""

from __future__ import annotations

import json
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Flask

from flask_flagsmith_realtime import (
    FlagsmithRealtime,
    Identity,
    flags,
    flags_changed,
)
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.apps import MakeApp, Received
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.remote_identities import bodies, mark, read
from tests.support.waiting import PATIENCE_SECONDS


def test_the_flags_equal_those_of_local_evaluation(make_app: MakeApp, emulator: Emulator) -> None:
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


def test_the_identity_loader_costs_one_call_a_request(
    make_app: MakeApp, emulator: Emulator
) -> None:
    extension = FlagsmithRealtime()
    app = make_app(extension, ENVIRONMENT_KEY=emulator.client_side_key)
    extension.identity_loader(lambda: Identity("dan", {"plan": "pro"}))
    with app.app_context():
        given = flags["beta_dashboard"].enabled
        assert flags.is_feature_enabled("beta_dashboard") is given
    assert emulator.calls["identities/"] == 1


def test_a_change_is_visible_at_the_next_read(make_app: MakeApp, emulator: Emulator) -> None:
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


def test_a_call_has_the_identity_its_traits_and_the_key(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    traits = {"plan": "pro", "age": 37, "old": None, "here": {"value": "Rome", "transient": True}}
    identity = Identity("bob", traits, transient=True)
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
            {"trait_key": "here", "trait_value": "Rome", "transient": True},
        ],
        "transient": True,
    }


def test_many_requests_for_one_identity_cost_one_call(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    for _ in range(5):
        read(app)
    assert bodies(flagsmith) == [{"identifier": "alice@example.com", "traits": []}]


def test_identities_that_differ_in_traits_are_called_for_separately(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
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


def test_the_environments_flags_cost_no_call(app: Flask, flagsmith: MisbehavingFlagsmith) -> None:
    with app.app_context():
        assert flags["banner_text"].value is not None
    assert flagsmith.identities.count == 0


def test_calls_reuse_the_connection(app: Flask, flagsmith: MisbehavingFlagsmith) -> None:
    for number in range(4):
        read(app, Identity(f"identity {number}"))
    assert len({request.connection for request in flagsmith.identities.requests}) == 1


def test_a_kept_connection_that_the_server_closed_is_replaced(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    flagsmith.identities.always(answers.mangled(mark))
    read(app)
    # As when a request meets the server's idle time-out.
    flagsmith.identities.next(answers.vanish)
    assert read(app, Identity("bob")) == "marked"
    asked = [request.connection for request in flagsmith.identities.requests]
    assert asked[0] == asked[1] != asked[2]


def test_concurrent_requests_for_one_identity_share_one_call(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    answered = threading.Event()
    inside = threading.Barrier(9)

    def answer(call: answers.Call) -> None:
        answered.wait(PATIENCE_SECONDS)
        answers.truth(call)

    flagsmith.identities.always(answer)

    def request() -> Any:
        inside.wait(PATIENCE_SECONDS)
        return read(app)

    with ThreadPoolExecutor(8) as threads:
        results = [threads.submit(request) for _ in range(8)]
        inside.wait(PATIENCE_SECONDS)
        flagsmith.wait_for(lambda: flagsmith.identities.count == 1)
        answered.set()
        values = {result.result(PATIENCE_SECONDS) for result in results}
    assert len(values) == 1
    assert flagsmith.identities.count == 1


def hold(flagsmith: MisbehavingFlagsmith, identifier: bytes) -> threading.Event:
    """Hold the answers for one identity until the event is set."""
    release = threading.Event()

    def answer(call: answers.Call) -> None:
        if identifier in call.exchange.request.body:
            release.wait(PATIENCE_SECONDS)
        answers.truth(call)

    flagsmith.identities.always(answer)
    return release


def test_calls_for_different_identities_run_at_the_same_time(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    release = hold(flagsmith, b"slow")
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(read, app, Identity("slow"))
        flagsmith.wait_for(lambda: flagsmith.identities.count == 1)
        assert read(app, Identity("quick")) is not None
        assert not slow.done()
        release.set()
        assert slow.result(PATIENCE_SECONDS) is not None


def test_an_app_under_test_makes_no_call(flagsmith: MisbehavingFlagsmith) -> None:
    app = Flask("shop")
    app.testing = True
    app.config.update(flagsmith.config)
    app.config["FLAGSMITH_ENVIRONMENT_KEY"] = flagsmith.client_side_key
    app.config["FLAGSMITH_DEFAULTS"] = {"banner_text": "default"}
    FlagsmithRealtime(app)
    assert read(app) == "default"
    assert flagsmith.calls == []


def test_a_forked_child_opens_its_own_connections(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    context = multiprocessing.get_context("fork")
    before = read(app)
    here, there = context.Pipe(duplex=False)

    def child() -> None:
        # What was answered before is known; what was not is asked for on a connection of its own.
        there.send((read(app), read(app, Identity("bob"))))

    release = hold(flagsmith, b"under way")
    with ThreadPoolExecutor(1) as threads:
        # The parent forks while a call is under way: with its lock and its future, if it were bad.
        under_way = threads.submit(read, app, Identity("under way"))
        flagsmith.wait_for(lambda: flagsmith.identities.count == 2)
        process = context.Process(target=child, daemon=True)
        process.start()
        assert here.poll(PATIENCE_SECONDS)
        assert here.recv() == (before, before)
        process.join(PATIENCE_SECONDS)
        release.set()
        assert under_way.result(PATIENCE_SECONDS) == before
    assert process.exitcode == 0
    here.close()
    there.close()
    read(app, Identity("carol"))
    asked = flagsmith.identities.requests
    assert [json.loads(request.body)["identifier"] for request in asked] == [
        "alice@example.com",
        "under way",
        "bob",
        "carol",
    ]
    assert asked[2].connection not in {asked[0].connection, asked[3].connection}
