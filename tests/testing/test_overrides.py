"""Overrides of flags: values, nesting, contexts, strict mode."""

from __future__ import annotations

import threading
from urllib.request import urlopen

import pytest
from flask import Flask, current_app

from flask_flagsmith_realtime import (
    ConfigError,
    FeatureNotFoundError,
    Flag,
    FlagChange,
    FlagsmithRealtime,
    NotInitializedError,
    flags,
    flags_changed,
)
from flask_flagsmith_realtime.app_state import EXTENSION
from flask_flagsmith_realtime.testing import FlagOverrides, override_flags
from tests.support.apps import Received, read_flag
from tests.support.serving import serving
from tests.support.waiting import PATIENCE_SECONDS


@pytest.mark.parametrize(
    ("override", "enabled", "value"),
    [
        (True, True, "?"),
        (False, False, "?"),
        ("Hi", True, "Hi"),
        ("", True, ""),
        (0, True, 0),
        (2.5, True, 2.5),
        (None, True, None),
        (Flag("banner_text", enabled=False, value="off"), False, "off"),
    ],
)
def test_overrides_of_each_type(
    app: Flask, override: bool | str | float | Flag | None, enabled: bool, value: object
) -> None:
    with override_flags(app, banner_text=override):
        flag = read_flag(app, "banner_text")
        assert (flag.feature_name, flag.enabled, flag.value) == ("banner_text", enabled, value)
        assert type(flag.value) is type(value)
        assert not flag.is_default
    assert read_flag(app, "banner_text") == Flag("banner_text", False, "?", is_default=True)


def test_a_flag_overrides_under_the_given_name(app: Flask) -> None:
    with override_flags(app, mine=Flag("other", True, 3, feature_id=7, variant="b")):
        assert read_flag(app, "mine") == Flag("mine", True, 3, feature_id=7, variant="b")


def test_an_override_of_a_wrong_type_is_refused_by_name(app: Flask) -> None:
    with pytest.raises(TypeError, match=r"'banner_text' cannot be overridden with list; give True"):
        override_flags(app, banner_text=["Hi"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"A feature's name must be a str, not int: 7"):
        override_flags(app, {7: True})  # type: ignore[dict-item]


def test_names_that_are_not_python_identifiers(app: Flask) -> None:
    with override_flags(app, {"my-flag": True, "app": "a", "signals": 1}, app="b", self="c"):
        assert read_flag(app, "my-flag")
        assert [read_flag(app, name).value for name in ("app", "signals", "self")] == ["b", 1, "c"]


def test_overridden_flags_are_read_like_all_others(app: Flask) -> None:
    with override_flags(app, {"my-flag": "x"}), app.app_context():
        assert "my-flag" in flags
        assert list(flags) == ["new_checkout", "banner_text", "my-flag"]
        assert flags.is_feature_enabled("my-flag", default=False)
        assert flags.get_feature_value("my-flag", default="y") == "x"
        assert flags.all_flags()[-1].value == "x"
        assert flags.get_feature_value("other", default="y") == "y"


def test_overrides_nest_and_the_innermost_wins(app: Flask) -> None:
    with override_flags(app, banner_text="outer", new_checkout=True):
        with override_flags(app, banner_text="inner"):
            assert app.test_client().get("/").text == "True inner"
            with override_flags(app, banner_text=False):
                assert read_flag(app, "banner_text").value == "inner"
                assert not read_flag(app, "banner_text")
        assert app.test_client().get("/").text == "True outer"
    assert app.test_client().get("/").text == "False ?"


def test_overrides_can_end_in_any_order(app: Flask) -> None:
    first, second = override_flags(app, banner_text="1"), override_flags(app, banner_text="2")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert read_flag(app, "banner_text").value == "2"
    second.__exit__(None, None, None)
    assert read_flag(app, "banner_text").value == "?"


def test_one_object_can_be_entered_again(app: Flask) -> None:
    override = override_flags(app, new_checkout=True)
    for _ in range(2):
        with override, override:
            assert read_flag(app, "new_checkout")
        assert not read_flag(app, "new_checkout")


def test_override_ends_when_the_test_fails(app: Flask) -> None:
    with pytest.raises(ZeroDivisionError), override_flags(app, new_checkout=True):
        raise ZeroDivisionError
    assert not read_flag(app, "new_checkout")


def test_the_app_context_around_an_override_sees_it(app: Flask) -> None:
    with app.app_context():
        assert not flags["new_checkout"]
        with override_flags(app, new_checkout=True):
            assert flags["new_checkout"]
            assert app.test_client().get("/").text == "True ?"
        assert not flags["new_checkout"]


def test_request_contexts_around_an_override_see_it(app: Flask) -> None:
    with app.test_request_context():
        assert not flags["new_checkout"]
        with override_flags(app, new_checkout=True):
            assert flags["new_checkout"]
    with app.test_client() as client:
        client.get("/")
        with override_flags(app, new_checkout=True):
            assert flags["new_checkout"]


def test_an_override_that_ends_in_another_context_ends_in_both(app: Flask) -> None:
    override = override_flags(app, new_checkout=True)
    with app.app_context():
        override.__enter__()
        assert flags["new_checkout"]
        with app.app_context():
            assert flags["new_checkout"]
            override.__exit__(None, None, None)
            assert not flags["new_checkout"]
        assert not flags["new_checkout"]


def test_contexts_of_another_app_keep_their_flags(app: Flask) -> None:
    other = Flask("other")
    other.config.update(TESTING=True, FLAGSMITH_DEFAULTS={"new_checkout": False})
    FlagsmithRealtime(other)
    with other.app_context(), override_flags(app, new_checkout=True):
        assert not flags["new_checkout"]
        assert read_flag(app, "new_checkout")


def test_the_app_can_be_current_app(app: Flask) -> None:
    with app.app_context(), override_flags(current_app, new_checkout=True):
        assert flags["new_checkout"]


def test_an_app_without_the_extension_raises() -> None:
    with (
        pytest.raises(NotInitializedError),
        override_flags(Flask("shop"), new_checkout=True),
    ):
        pass


def test_request_being_answered_keeps_its_flags(app: Flask) -> None:
    reading, overridden = threading.Event(), threading.Event()
    read_there: list[bool] = []

    def answer() -> None:
        with app.app_context():
            read_there.append(flags["new_checkout"].enabled)
            reading.set()
            overridden.wait(PATIENCE_SECONDS)
            read_there.append(flags["new_checkout"].enabled)
        read_there.append(read_flag(app, "new_checkout").enabled)

    thread = threading.Thread(target=answer)
    thread.start()
    assert reading.wait(PATIENCE_SECONDS)
    with override_flags(app, new_checkout=True):
        overridden.set()
        thread.join(PATIENCE_SECONDS)
    assert read_there == [False, False, True]


def test_a_live_server_in_a_thread_sees_an_override(app: Flask) -> None:
    with (
        serving(app) as url,
        override_flags(app, new_checkout=True, banner_text="Hi"),
        urlopen(url, timeout=PATIENCE_SECONDS) as answer,
    ):
        assert answer.read() == b"True Hi"


def test_no_signal_is_sent_by_default(app: Flask) -> None:
    changed = Received(flags_changed, app)
    with override_flags(app, new_checkout=True):
        pass
    assert not changed.all


def test_signals_are_sent_when_an_override_begins_and_ends(app: Flask) -> None:
    changed = Received(flags_changed, app)
    with override_flags(app, signals=True, banner_text="Hi"):
        (content,) = changed.all
        after = Flag("banner_text", True, "Hi")
        assert content["changes"] == {"banner_text": FlagChange("banner_text", None, after)}
        assert content["snapshot"].flags["banner_text"] == after
        assert not content["previous"].flags
        assert content["leader"]
        with override_flags(app, signals=True, banner_text=False):
            change = changed.all[-1]["changes"]["banner_text"]
            assert change == FlagChange("banner_text", after, Flag("banner_text", False, "Hi"))
    assert len(changed.all) == 4
    assert changed.all[-1]["changes"]["banner_text"] == FlagChange("banner_text", after, None)


def test_overrides_hold_for_identities_without_a_flagsmith(app: Flask) -> None:
    with override_flags(app, new_checkout=True), app.app_context():
        assert flags.for_identity("ada", {"plan": "pro"})["new_checkout"]


def test_strict_raises_for_a_feature_that_is_not_overridden() -> None:
    app = Flask("shop")
    app.config.update(TESTING=True, FLAGSMITH_STRICT=True)
    FlagsmithRealtime(app)
    with override_flags(app, new_checkout=True), app.app_context():
        assert flags["new_checkout"]
        with pytest.raises(FeatureNotFoundError) as raised:
            flags.is_feature_enabled("new_chekout")
        assert str(raised.value) == (
            "The environment has no feature 'new_chekout'; did you mean 'new_checkout'? "
            "Otherwise, in a test, set it: flagsmith_flags.set(new_chekout=…) or "
            "override_flags(app, new_chekout=…); or give a default in the call or in "
            "FLAGSMITH_DEFAULTS."
        )
        with pytest.raises(FeatureNotFoundError, match="'banner'; in a test, set it: "):
            flags.get_flag("banner")


def test_the_strict_error_quotes_names_that_are_not_python_identifiers() -> None:
    app = Flask("shop")
    app.config.update(TESTING=True, FLAGSMITH_STRICT=True)
    FlagsmithRealtime(app)
    with app.app_context(), pytest.raises(FeatureNotFoundError) as raised:
        flags.get_flag("my-flag")
    assert "flagsmith_flags.set({'my-flag': …}) or override_flags(app, {'my-flag': …})" in str(
        raised.value
    )


def test_starting_without_a_key_is_refused() -> None:
    app = Flask("shop")
    app.testing = True
    flagsmith = FlagsmithRealtime(app)
    with pytest.raises(ConfigError, match=r"^FLAGSMITH_ENVIRONMENT_KEY is missing\. An app under"):
        flagsmith.start(app)
    assert flagsmith.status.state == "offline"


def test_app_that_was_never_overridden_has_plain_flags(app: Flask) -> None:
    state = app.extensions[EXTENSION]
    with override_flags(app, new_checkout=True):
        assert type(state.flags()).__name__ == "OverriddenFlags"
    assert type(state.flags()).__name__ == "Flags"


def test_set_and_clear(app: Flask) -> None:
    overrides = FlagOverrides(app)
    with app.app_context():
        overrides.set(new_checkout=True)
        overrides.set({"banner_text": "Hi"})
        assert flags["new_checkout"]
        assert flags["banner_text"].value == "Hi"
        overrides.clear()
        assert not flags["new_checkout"]
        assert flags["banner_text"].value == "?"
        overrides.set(new_checkout=True)
        assert flags["new_checkout"]
        overrides.clear()
