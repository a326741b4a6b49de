"""``flags.for_browser()``: the state of Flagsmith's JavaScript SDK, and what is left out of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from flask_flagsmith_realtime import (
    FeatureNotFoundError,
    FlagsmithRealtime,
    HiddenFeatureError,
    Identity,
    flags,
)
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.testing import override_flags
from tests.support import recorded
from tests.support.waiting import PATIENCE_SECONDS

SECRET = "pricing"


@pytest.fixture
def document() -> dict[str, Any]:
    """An environment with a feature for server-side keys only."""
    document = recorded.environment_document()
    (secret,) = (
        state["feature"]["id"]
        for state in document["feature_states"]
        if state["feature"]["name"] == SECRET
    )
    document["project"]["server_key_only_feature_ids"] = [secret]
    return document


@pytest.fixture
def emulator(document: dict[str, Any]) -> Iterator[Emulator]:
    """A Flagsmith that serves it."""
    with Emulator(document=document) as running:
        yield running


def make_app(emulator: Emulator, **settings: Any) -> tuple[Flask, FlagsmithRealtime]:
    app = Flask("shop")
    app.config.update(
        emulator.config,
        FLAGSMITH_AUTOSTART=False,
        FLAGSMITH_STARTUP_TIMEOUT_SECONDS=PATIENCE_SECONDS,
    )
    app.config.update({f"FLAGSMITH_{name}": value for name, value in settings.items()})
    return app, FlagsmithRealtime(app)


def state_in(app: Flask, *names: str, **options: Any) -> dict[str, Any]:
    """Return the state that a request of the app gives to a browser."""
    with app.test_request_context():
        state = flags.for_browser(*names, **options)
    assert json.loads(json.dumps(state)) == state
    return state


@pytest.mark.parametrize("key", ["server_side_key", "client_side_key"])
def test_the_environments_flags_without_those_for_servers(emulator: Emulator, key: str) -> None:
    app, flagsmith = make_app(emulator, ENVIRONMENT_KEY=getattr(emulator, key))
    emulator.set_flag("My Feature", value="π")
    state = state_in(app)
    flagsmith.stop(app)
    assert state["environmentID"] == emulator.client_side_key
    assert state["identity"] is None
    assert state["preventFetch"] is True
    features = state["state"]["flags"]
    assert features["my_feature"]["value"] == "π"
    assert features["banner_text"]["enabled"] is True
    assert SECRET not in json.dumps(state)
    assert emulator.server_side_key not in json.dumps(state)


def test_the_identity_of_the_request(emulator: Emulator) -> None:
    app, flagsmith = make_app(emulator)
    flagsmith.identity_loader(lambda: Identity("ada", {"plan": "pro", "is staff": True}))
    emulator.override_identity("ada", "banner_text", value="Hello Ada")
    state = state_in(app)
    with_traits = state_in(app, traits=True)
    flagsmith.stop(app)
    assert state["identity"] == "ada"
    assert state["state"]["flags"]["banner_text"]["value"] == "Hello Ada"
    assert state["state"]["evaluationContext"]["identity"] == {"identifier": "ada", "traits": {}}
    assert with_traits["state"]["evaluationContext"]["identity"]["traits"] == {
        "plan": {"value": "pro"},
        "is_staff": {"value": True},
    }


def test_traits_stay_where_the_environment_hides_sensitive_data(document: dict[str, Any]) -> None:
    document["hide_sensitive_data"] = True
    with Emulator(document=document) as emulator:
        app, flagsmith = make_app(emulator)
        flagsmith.identity_loader(lambda: Identity("ada", {"plan": "pro"}))
        state = state_in(app, traits=True)
        flagsmith.stop(app)
    assert state["state"]["evaluationContext"]["identity"]["traits"] == {}


def test_no_reason_is_given_away(emulator: Emulator) -> None:
    app, flagsmith = make_app(emulator)
    flagsmith.identity_loader(lambda: Identity("ada", {"plan": "pro"}))
    with app.test_request_context():
        assert any("segment" in (flag.reason or "") for flag in flags.all_flags())
        assert "segment" not in json.dumps(flags.for_browser())
    flagsmith.stop(app)


def test_naming_a_feature_for_servers_raises(emulator: Emulator) -> None:
    app, flagsmith = make_app(emulator)
    assert list(state_in(app, "banner_text")["state"]["flags"]) == ["banner_text"]
    with pytest.raises(HiddenFeatureError, match=r"'pricing' cannot go .* server-side keys only"):
        state_in(app, "banner_text", SECRET)
    flagsmith.stop(app)


@pytest.mark.parametrize("place", ["environment", "project"])
def test_disabled_features_where_the_environment_hides_them(
    document: dict[str, Any], place: str
) -> None:
    if place == "environment":
        document["hide_disabled_flags"] = True
    else:
        document["hide_disabled_flags"] = None
        document["project"]["hide_disabled_flags"] = True
    with Emulator(document=document) as emulator:
        app, flagsmith = make_app(emulator)
        emulator.set_flag("banner_text", enabled=False)
        emulator.set_flag("other", enabled=True)
        state = state_in(app)
        with pytest.raises(HiddenFeatureError, match="it is disabled"):
            state_in(app, "banner_text")
        flagsmith.stop(app)
    assert "other" in state["state"]["flags"]
    assert "banner_text" not in state["state"]["flags"]


def test_defaults_go_to_a_browser_only_if_they_are_named() -> None:
    app = Flask("shop")
    app.config.update(TESTING=True, FLAGSMITH_DEFAULTS={"new": True, "secret": "x"})
    FlagsmithRealtime(app)
    assert state_in(app)["state"]["flags"] == {}
    assert state_in(app, "new")["state"]["flags"] == {
        "new": {"id": None, "enabled": True, "value": None}
    }


def test_a_missing_feature_is_treated_as_in_any_other_read() -> None:
    app = Flask("shop")
    app.config.update(TESTING=True, FLAGSMITH_STRICT=True)
    FlagsmithRealtime(app)
    with pytest.raises(FeatureNotFoundError):
        state_in(app, "nope")


def test_overrides_of_tests_hold_and_hide_nothing_more(emulator: Emulator) -> None:
    app, flagsmith = make_app(emulator)
    with override_flags(app, {"banner_text": "of the test", SECRET: "{}"}):
        state = state_in(app)
    flagsmith.stop(app)
    assert state["state"]["flags"]["banner_text"]["value"] == "of the test"
    assert SECRET not in state["state"]["flags"]


def test_overrides_are_enough_under_test() -> None:
    app = Flask("shop")
    app.config["TESTING"] = True
    FlagsmithRealtime(app)
    with override_flags(app, banner_text="of the test"):
        state = state_in(app)
    assert state["environmentID"]
    assert state["state"]["flags"]["banner_text"]["value"] == "of the test"
    assert "api" not in state
    assert state["realtime"] is False
