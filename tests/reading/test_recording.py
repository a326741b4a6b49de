"""``flag_evaluated`` and ``flags.read``: what an app context has read."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask, render_template_string

from flask_flagsmith_realtime import (
    FeatureNotFoundError,
    Flag,
    FlagsmithRealtime,
    Identity,
    flag_evaluated,
    flag_required,
    flags,
)
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.model import MOST_IDENTITIES
from flask_flagsmith_realtime.reading import RecordingFlags
from flask_flagsmith_realtime.testing import override_flags
from tests.support.apps import MakeApp

ADA = Identity("ada", {"plan": "pro"})


class Heard:
    """The flags that one app has read, with their identities."""

    def __init__(self, app: Flask) -> None:
        self.all: list[tuple[Flag, Identity | None]] = []
        flag_evaluated.connect(self._receive, sender=app)

    def _receive(self, app: Flask, flag: Flag, identity: Identity | None) -> None:
        self.all.append((flag, identity))

    @property
    def names(self) -> list[str]:
        return [flag.feature_name for flag, _ in self.all]


@pytest.fixture
def app() -> Flask:
    """An app under test, which touches no network."""
    app = Flask("shop")
    app.testing = True
    app.config["FLAGSMITH_DEFAULTS"] = {"discount": 5, "gift_wrap": False}
    FlagsmithRealtime(app)
    return app


@pytest.fixture
def heard(app: Flask) -> Heard:
    return Heard(app)


@pytest.fixture(autouse=True)
def no_failure_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask_flagsmith_realtime.signals._failed_readers", set())


def test_every_kind_of_read_sends_it_once_in_a_context(app: Flask, heard: Heard) -> None:
    @app.get("/")
    @flag_required("a")
    def home() -> str:
        flags.is_feature_enabled("a")
        flags.get_feature_value("b")
        flags.get_flag("b")
        assert flags["c"]
        return render_template_string("{% if flags.d %}{{ flags.d.value }}{% endif %}")

    with override_flags(app, a=True, b="two", c=3, d="four"):
        for count in (4, 8):
            assert app.test_client().get("/").text == "four"
            assert len(heard.all) == count
    assert heard.names == ["a", "b", "c", "d"] * 2


def test_looking_at_all_flags_is_no_read(app: Flask, heard: Heard) -> None:
    with app.app_context():
        assert "discount" in flags
        assert flags.all_flags()
        assert list(flags)
    assert heard.all == []


def test_defaults_and_overrides_have_their_reasons(app: Flask, heard: Heard) -> None:
    with app.app_context(), override_flags(app, beta=True):
        flags.is_feature_enabled("beta")
        flags.get_feature_value("discount")
        flags.is_feature_enabled("nope")
        flags.is_feature_enabled("hope", default=True)
        flags.get_feature_value("rope", default="red")
    found = [(flag.feature_name, flag.enabled, flag.value, flag.reason) for flag, _ in heard.all]
    assert found == [
        ("beta", True, None, "OVERRIDDEN_BY_TEST"),
        ("discount", True, 5, "CONFIGURED_DEFAULT"),
        ("nope", False, None, "MISSING"),
        ("hope", True, None, "DEFAULT_OF_CALL"),
        ("rope", True, "red", "DEFAULT_OF_CALL"),
    ]
    assert [flag.is_default for flag, _ in heard.all] == [False, True, True, True, True]


def test_each_call_gets_its_own_default(app: Flask, heard: Heard) -> None:
    with app.app_context():
        assert [flags.get_feature_value("nope", default=value) for value in (1, 2)] == [1, 2]
        assert flags.get_feature_value("nope") is None
    assert heard.names == ["nope"]


def test_failed_strict_read_sends_nothing(app: Flask, heard: Heard) -> None:
    strict = Flask("strict")
    strict.config.update(TESTING=True, FLAGSMITH_STRICT=True)
    FlagsmithRealtime(strict)
    heard = Heard(strict)
    with strict.app_context(), pytest.raises(FeatureNotFoundError):
        flags["nope"]
    assert heard.all == []


def test_identities_are_told_apart(make_app: MakeApp, emulator: Emulator) -> None:
    emulator.override_identity("ada", "new_checkout", enabled=True)
    flagsmith = FlagsmithRealtime()
    flagsmith.identity_loader(lambda: ADA if flags["gift_wrap"].is_default else None)
    app = make_app(flagsmith, DEFAULTS={"gift_wrap": True})
    heard = Heard(app)
    with app.app_context():
        assert flags["new_checkout"]
        assert not flags.for_identity("bob")["new_checkout"]
        assert not flags.for_identity("bob").is_feature_enabled("new_checkout")
        assert flags.for_identity(ADA)["new_checkout"]
        assert [flag.feature_name for flag in flags.read] == ["gift_wrap", *["new_checkout"] * 2]
    assert [(flag.feature_name, flag.enabled, identity) for flag, identity in heard.all] == [
        ("gift_wrap", True, None),
        ("new_checkout", True, ADA),
        ("new_checkout", False, Identity("bob")),
    ]
    assert "TARGETING_MATCH" in str(heard.all[1][0].reason)


def test_flags_read_so_far(app: Flask, heard: Heard) -> None:
    with app.app_context():
        assert flags.read == ()
        discount = flags["discount"]
        flags.is_feature_enabled("discount")
        assert flags.read == (discount,)
    with app.app_context():
        assert flags.read == ()


def test_without_a_receiver_nothing_is_recorded(app: Flask) -> None:
    other = Flask("other")
    heard = Heard(other)
    with app.app_context():
        flags.is_feature_enabled("discount")
        assert flags.read == ()
        bound = flags.for_identity("ada")
    assert not isinstance(bound, RecordingFlags)
    assert heard.all == []


def test_command_that_reads_for_everybody_has_bounded_memory(app: Flask, heard: Heard) -> None:
    with app.app_context():
        for number in range(2500):
            flags.for_identity(f"user {number}").is_feature_enabled("discount")
        assert len(flags.read) <= MOST_IDENTITIES
    assert len(heard.all) == 2500


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(3)])
def test_receiver_that_raises_is_logged_once_and_never_reaches_the_reader(
    app: Flask, heard: Heard, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    @flag_evaluated.connect_via(app)
    def breaks(app: Flask, **_: Any) -> None:
        raise error

    with app.app_context():
        flags.is_feature_enabled("discount")
        flags.is_feature_enabled("gift_wrap")
    assert heard.names == ["discount", "gift_wrap"]
    with caplog.at_level(logging.ERROR):
        lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert "breaks, a receiver of flagsmith-flag-evaluated, failed" in lines[0]


def test_timeout_of_a_server_ends_the_request_also_in_a_receiver(app: Flask) -> None:
    @flag_evaluated.connect_via(app)
    def takes_too_long(app: Flask, **_: Any) -> None:
        raise SystemExit(1)

    app.add_url_rule("/", view_func=lambda: str(flags.discount.value))
    with pytest.raises(SystemExit):
        app.test_client().get("/")


def test_receiver_may_read_flags_itself(app: Flask, heard: Heard) -> None:
    found: list[Any] = []

    @flag_evaluated.connect_via(app)
    def listen(app: Flask, flag: Flag, **_: Any) -> None:
        found.append((flag.feature_name, flags.get_feature_value("discount"), len(flags.read)))

    with app.app_context():
        flags.is_feature_enabled("gift_wrap")
    assert found == [("discount", 5, 2), ("gift_wrap", 5, 2)]
    assert sorted(heard.names) == ["discount", "gift_wrap"]


def test_outside_a_context_reading_says_so_as_before(app: Flask, heard: Heard) -> None:
    with pytest.raises(RuntimeError, match="outside an app context"):
        _ = flags.read
