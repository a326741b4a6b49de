"""One snapshot for each request: changes during a request are visible in the next one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, render_template_string, stream_with_context

from flask_flagsmith_realtime import flags, flags_changed
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.apps import MakeApp, Received


@pytest.fixture
def app(make_app: MakeApp, emulator: Emulator) -> Flask:
    app = make_app()
    with app.app_context():
        assert flags["banner_text"]
    assert emulator.wait_for_streams(1)
    return app


class Change:
    """Changes a value on Flagsmith and waits until the app has it."""

    def __init__(self, app: Flask, emulator: Emulator) -> None:
        self._emulator = emulator
        self._received = Received(flags_changed, app)
        self._count = 0

    def __call__(self, value: str) -> None:
        self._count += 1
        self._emulator.set_flag("banner_text", value=value)
        self._received.wait(self._count)


def test_two_reads_in_one_request_agree(app: Flask, emulator: Emulator) -> None:
    change = Change(app, emulator)
    change("before")

    @app.get("/")
    def view() -> list[object]:
        first = flags["banner_text"].value, flags.epoch
        change("after")
        return [first, (flags["banner_text"].value, flags.epoch)]

    first, second = app.test_client().get("/").get_json()
    assert first == second
    assert first[0] == "before"
    with app.app_context():
        assert flags["banner_text"].value == "after"


def test_template_and_view_agree(app: Flask, emulator: Emulator) -> None:
    change = Change(app, emulator)
    change("before")

    @app.get("/")
    def view() -> str:
        assert flags["banner_text"].value == "before"
        change("after")
        return render_template_string("{{ flags.banner_text.value }}")

    assert app.test_client().get("/").text == "before"


def test_streamed_response_keeps_the_flags_of_its_request(app: Flask, emulator: Emulator) -> None:
    change = Change(app, emulator)
    change("before")

    @app.get("/")
    def view() -> object:
        @stream_with_context
        def generate() -> Iterator[str]:
            yield flags.get_flag("banner_text").value + " "
            change("after")
            yield flags.get_flag("banner_text").value

        return app.response_class(generate())

    assert app.test_client().get("/").text == "before before"


def test_command_or_task_keeps_its_flags(app: Flask, emulator: Emulator) -> None:
    change = Change(app, emulator)
    change("before")
    with app.app_context():
        assert flags["banner_text"].value == "before"
        change("after")
        assert flags["banner_text"].value == "before"
    with app.app_context():
        assert flags["banner_text"].value == "after"


def test_iterating_over_flags(app: Flask) -> None:
    with app.app_context():
        names = list(flags)
        assert len(flags) == len(names) == len(flags.all_flags())
        assert {flag.feature_name for flag in flags.all_flags()} == set(names)
        assert all(name in flags for name in names)
        assert "nothing_like_it" not in flags


@pytest.mark.parametrize("name", [None, 7])
def test_a_name_that_is_not_a_str_is_an_error(app: Flask, name: Any) -> None:
    words = f"A feature's name must be a str, not {type(name).__name__}"
    with app.app_context():
        for read in (flags.is_feature_enabled, flags.get_feature_value, flags.get_flag):
            with pytest.raises(TypeError, match=words):
                read(name)
