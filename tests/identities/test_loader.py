"""The identity loader: when it is called, and what it decides."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app, g, render_template_string, request, stream_with_context

from flask_flagsmith_realtime import (
    FlagsmithRealtime,
    Identity,
    flag_required,
    flags,
)
from tests.support.offline import BOB, make_offline_app, recorded_document
from tests.support.waiting import PATIENCE_SECONDS


def test_is_asked_once_a_request(offline_app: Flask, extension: FlagsmithRealtime) -> None:
    asked = []

    @extension.identity_loader
    def load() -> Identity | None:
        asked.append(request.args["who"])
        return BOB if request.args["who"] == "bob" else None

    @offline_app.get("/")
    def view() -> str:
        first = flags.is_feature_enabled("beta_dashboard")
        text = render_template_string("{% if flags.beta_dashboard %}beta{% endif %}")
        return f"{first} {text} {flags.segments}"

    @offline_app.get("/without")
    def without() -> str:
        return ""

    client = offline_app.test_client()
    assert client.get("/?who=bob").text == "True beta ('beta_users',)"
    assert client.get("/?who=carol").text == "False  ()"
    assert client.get("/without?who=bob").text == ""
    assert asked == ["bob", "carol"]


def test_everything_that_flags_can_is_the_identitys(
    offline_app: Flask, extension: FlagsmithRealtime
) -> None:
    extension.identity_loader(lambda: BOB)
    with offline_app.app_context():
        bobs = flags.for_identity(BOB)
        assert flags.is_feature_enabled("beta_dashboard")
        assert flags.get_feature_value("banner_text") == bobs["banner_text"].value
        assert flags.get_flag("button_colour") is bobs["button_colour"]
        assert flags["button_colour"].variant == "control"
        assert flags.beta_dashboard
        assert flags.all_flags() == bobs.all_flags()
        assert list(flags) == list(bobs)
        assert flags.segments == bobs.segments
        assert flags.is_feature_enabled("nothing", default=True)
        assert flags.get_feature_value("nothing", default=7) == 7
        assert not flags.is_feature_enabled("nothing")
        assert not flags.for_identity("alice@example.com")["beta_dashboard"]


def test_is_returned_as_it_is(extension: FlagsmithRealtime) -> None:
    def load() -> None:
        """Says who."""

    assert extension.identity_loader(load) is load


def test_may_come_after_init_app_and_again(
    offline_app: Flask, extension: FlagsmithRealtime
) -> None:
    with offline_app.app_context():
        assert not flags["beta_dashboard"]
    extension.identity_loader(lambda: BOB)
    with offline_app.app_context():
        assert flags["beta_dashboard"]
    extension.identity_loader(lambda: None)
    with offline_app.app_context():
        assert not flags["beta_dashboard"]


def test_serves_every_app_of_its_extension_and_no_other(
    offline_app: Flask, extension: FlagsmithRealtime, tmp_path: Path
) -> None:
    document = recorded_document()
    second = make_offline_app(extension, tmp_path, document)
    other = make_offline_app(FlagsmithRealtime(), tmp_path, document)
    extension.identity_loader(lambda: BOB)
    given = []
    for one in (offline_app, second, other):
        with one.app_context():
            given.append(bool(flags["beta_dashboard"]))
    assert given == [True, True, False]


def test_may_read_flags_itself(offline_app: Flask, extension: FlagsmithRealtime) -> None:
    seen = []

    @extension.identity_loader
    def load() -> Identity:
        seen.append(flags["beta_dashboard"].enabled)
        seen.append(flags.for_identity(BOB)["beta_dashboard"].enabled)
        return BOB

    with offline_app.app_context():
        assert flags["beta_dashboard"]
    assert seen == [False, True]


def test_may_read_another_apps_flags(
    offline_app: Flask, extension: FlagsmithRealtime, tmp_path: Path
) -> None:
    document = recorded_document()
    document["feature_states"][2]["feature_state_value"] = 1
    other = make_offline_app(FlagsmithRealtime(), tmp_path, document)
    seen = []

    @extension.identity_loader
    def load() -> Identity:
        with other.app_context():
            seen.append(flags["max_items"].value)
        return BOB

    with offline_app.app_context():
        assert flags["max_items"].value == 25
    assert seen == [1]


def test_may_be_async(offline_app: Flask, extension: FlagsmithRealtime) -> None:
    @extension.identity_loader
    async def load() -> Identity:
        assert not flags["beta_dashboard"]
        return BOB

    with offline_app.app_context():
        assert flags["beta_dashboard"]


def test_may_be_async_and_so_may_the_view(offline_app: Flask, extension: FlagsmithRealtime) -> None:
    @extension.identity_loader
    async def load() -> Identity:
        await asyncio.sleep(0)
        assert not flags["beta_dashboard"]
        return Identity(request.args["who"], {"plan": "pro"})

    @offline_app.get("/")
    async def view() -> str:
        await asyncio.sleep(0)
        return str(bool(flags["beta_dashboard"]))

    @offline_app.get("/beta")
    @flag_required("beta_dashboard")
    async def beta() -> str:
        return "beta"

    client = offline_app.test_client()
    assert client.get("/?who=bob").text == "True"
    assert client.get("/beta?who=bob").text == "beta"


def test_may_push_a_context(offline_app: Flask, extension: FlagsmithRealtime) -> None:
    seen = []

    @extension.identity_loader
    def load() -> Identity:
        # A helper of the app's that brings its own context, as for a task.
        with offline_app.app_context():
            seen.append(flags["beta_dashboard"].enabled)
        return BOB

    for _ in range(2):
        with offline_app.app_context():
            assert flags["beta_dashboard"]
    assert seen == [False, False]


def test_may_push_a_context_of_an_app_that_does_likewise(
    offline_app: Flask, extension: FlagsmithRealtime, tmp_path: Path
) -> None:
    others = FlagsmithRealtime()
    other = make_offline_app(others, tmp_path, recorded_document())
    seen = []

    def load_from(second: Flask) -> Callable[[], Identity]:
        def load() -> Identity:
            with second.app_context():
                seen.append(flags["beta_dashboard"].enabled)
            return BOB

        return load

    extension.identity_loader(load_from(other))
    others.identity_loader(load_from(offline_app))
    with offline_app.app_context():
        assert flags["beta_dashboard"]
    assert seen == [False, True]


def test_what_it_leaves_running_reads_as_everybody(
    offline_app: Flask, extension: FlagsmithRealtime
) -> None:
    # A greenlet of gevent's, or a task of asyncio's, goes on in a copy of the loader's context.
    left: list[contextvars.Context] = []

    @extension.identity_loader
    def load() -> Identity:
        left.append(contextvars.copy_context())
        return BOB

    def read_later() -> bool:
        with offline_app.app_context():
            return flags["beta_dashboard"].enabled

    with offline_app.app_context():
        assert flags["beta_dashboard"]
    assert left[0].run(read_later)


def test_in_an_async_view(offline_app: Flask, extension: FlagsmithRealtime) -> None:
    extension.identity_loader(lambda: BOB)

    @offline_app.get("/")
    async def view() -> str:
        return str(bool(flags["beta_dashboard"]))

    assert offline_app.test_client().get("/").text == "True"


def test_in_a_streamed_response(offline_app: Flask, extension: FlagsmithRealtime) -> None:
    extension.identity_loader(lambda: Identity(request.args["who"], {"plan": "pro"}))

    @offline_app.get("/")
    def view() -> Any:
        @stream_with_context
        def generate() -> Iterator[str]:
            yield str(bool(flags["beta_dashboard"]))

        return offline_app.response_class(generate())

    assert offline_app.test_client().get("/?who=bob").text == "True"


def test_that_raises(
    offline_app: Flask, extension: FlagsmithRealtime, caplog: pytest.LogCaptureFixture
) -> None:
    @extension.identity_loader
    def who_is_it() -> Identity:
        raise LookupError("no such user")

    for _ in range(3):
        with offline_app.test_request_context():
            assert not flags["beta_dashboard"]
            assert flags["banner_text"].value == "Welcome!"
    assert len(caplog.records) == 1
    assert "who_is_it failed; the environment's flags serve" in caplog.text
    assert "no such user" in caplog.text


def test_that_needs_a_request(
    offline_app: Flask, extension: FlagsmithRealtime, caplog: pytest.LogCaptureFixture
) -> None:
    extension.identity_loader(lambda: Identity(request.args["who"]))
    for _ in range(3):
        with offline_app.app_context():
            assert flags["banner_text"].value == "Welcome!"
    assert len(caplog.records) == 1
    assert "failed outside a request" in caplog.text


def test_that_returns_something_else(
    offline_app: Flask, extension: FlagsmithRealtime, caplog: pytest.LogCaptureFixture
) -> None:
    @extension.identity_loader
    def who_is_it() -> Any:
        return "bob"

    for _ in range(3):
        with offline_app.app_context():
            assert not flags["beta_dashboard"]
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.ERROR
    assert "It has to return an Identity or None, not str." in caplog.text


def test_that_makes_no_identity_names_the_trait(
    offline_app: Flask, extension: FlagsmithRealtime, caplog: pytest.LogCaptureFixture
) -> None:
    extension.identity_loader(lambda: Identity("bob", {"plan": ["pro"]}))  # type: ignore[dict-item]
    with offline_app.app_context():
        assert not flags["beta_dashboard"]
    assert "The trait 'plan' is list" in caplog.text


@pytest.mark.parametrize("wrong", ["bob", BOB])
def test_is_a_function(extension: FlagsmithRealtime, wrong: Any) -> None:
    with pytest.raises(TypeError, match="identity_loader decorates a function"):
        extension.identity_loader(wrong)


def test_takes_no_arguments(extension: FlagsmithRealtime) -> None:
    with pytest.raises(TypeError, match="load takes arguments, but an identity loader"):

        @extension.identity_loader
        def load(user_id: str) -> None: ...


def test_is_for_the_whole_context_of_threads(
    offline_app: Flask, extension: FlagsmithRealtime
) -> None:
    # Threads that share a request get its identity, also one that reads while it is asked for.
    inside, go_on = threading.Event(), threading.Event()
    me = threading.get_ident()

    @extension.identity_loader
    def load() -> Identity:
        if threading.get_ident() != me:
            inside.set()
            assert go_on.wait(PATIENCE_SECONDS)
        return BOB

    given = []
    with offline_app.app_context():
        context = contextvars.copy_context()
        read: Callable[[], None] = lambda: given.append(flags["beta_dashboard"].enabled)  # noqa: E731
        thread = threading.Thread(target=context.run, args=(read,))
        thread.start()
        assert inside.wait(PATIENCE_SECONDS)
        assert flags["beta_dashboard"]
        go_on.set()
        thread.join()
    assert given == [True]


def test_with_g_as_the_memory(offline_app: Flask, extension: FlagsmithRealtime) -> None:
    extension.identity_loader(lambda: g.who)
    with offline_app.app_context():
        g.who = BOB
        assert flags["beta_dashboard"]
        with current_app.app_context():
            g.who = None
            assert not flags["beta_dashboard"]
        assert flags["beta_dashboard"]
