"""``flag.json()`` and ``flags.get_json_value()``."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from flask import Flask

from flask_flagsmith_realtime import Flag, FlagsmithRealtime, flags
from flask_flagsmith_realtime.reading import flags as reading
from flask_flagsmith_realtime.testing import override_flags


@pytest.fixture
def app() -> Iterator[Flask]:
    """An app under test, with a value of each kind."""
    app = Flask("shop")
    app.testing = True
    FlagsmithRealtime(app)
    values = {"pricing": '{"mug": 14}', "broken": "{mug}", "number": 5, "without": True}
    with override_flags(app, values):
        yield app


def test_text_is_parsed_once(app: Flask) -> None:
    with app.app_context():
        prices = flags["pricing"].json()
        assert prices == {"mug": 14}
        assert flags.get_json_value("pricing") is flags.get_json_value("pricing", []) is prices


@pytest.mark.parametrize(("name", "value"), [("number", 5), ("without", None), ("nope", None)])
def test_other_values_are_what_they_are(app: Flask, name: str, value: object) -> None:
    with app.app_context():
        assert flags[name].json() == value
        assert flags.get_json_value(name) == value


def test_default_serves_where_there_is_no_value(app: Flask) -> None:
    with app.app_context():
        assert flags.get_json_value("nope", [1]) == [1]
        assert flags.get_json_value("without", {}) == {}
        assert flags.get_json_value("number", 7) == 5


@pytest.mark.parametrize("value", ["", "{mug}", "[" * 100_000, "9" * 5000])
def test_error_names_the_feature(app: Flask, value: str) -> None:
    with (
        override_flags(app, broken=value),
        app.app_context(),
        pytest.raises(ValueError, match="The value of the feature 'broken' is not JSON: "),
    ):
        flags.get_json_value("broken")
    with pytest.raises(ValueError, match="'broken' is not JSON"):
        Flag("broken", value=value).json()


def test_default_serves_for_a_value_that_is_not_json(
    app: Flask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading._not_json, "_causes", set())
    with app.app_context(), caplog.at_level(logging.WARNING):
        assert flags.get_json_value("broken", default=[]) == []
        assert flags.get_json_value("broken", default=[]) == []
    [record] = caplog.records
    assert "The value of the feature 'broken' is not JSON" in record.getMessage()
