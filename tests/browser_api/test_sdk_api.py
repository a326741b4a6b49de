"""Flagsmith's SDK API on the app's own origin: whose flags, which of them, and bad input."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import requests

from flask_flagsmith_realtime import Identity, flags
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.testing import override_flags
from tests.support.browser_api import Shop
from tests.support.waiting import PATIENCE_SECONDS

SECRET = "pricing"
#: Only a stop posts.
NEVER = 3600


def by_name(flags: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {flag["feature"]["name"]: flag for flag in flags}


def claim(identifier: str, **traits: Any) -> dict[str, Any]:
    """The body that the SDK sends for an identity."""
    listed = [{"trait_key": name, "trait_value": value} for name, value in traits.items()]
    return {"identifier": identifier, "traits": listed, "transient": False}


def test_the_environments_flags(shop: Shop, emulator: Emulator) -> None:
    answer = shop.call("api/v1/flags/")
    assert answer.status_code == 200
    flags = by_name(answer.json)
    for state in emulator.document["feature_states"]:
        name = state["feature"]["name"]
        if name != SECRET:
            assert flags[name]["enabled"] is state["enabled"]
            assert flags[name]["feature_state_value"] == state["feature_state_value"]
    assert SECRET not in answer.text
    assert answer.headers["X-Flagsmith-Document-Updated-At"] == repr(emulator.epoch)
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert emulator.server_side_key not in answer.text


def test_the_answer_follows_changes(shop: Shop, emulator: Emulator) -> None:
    before = shop.call("api/v1/flags/")
    same = shop.call("api/v1/flags/", headers={"If-None-Match": before.headers["ETag"]})
    assert (same.status_code, same.text) == (304, "")
    with override_flags(shop.app, banner_text="of a test"):
        overridden = by_name(shop.call("api/v1/flags/").json)
    assert overridden["banner_text"]["feature_state_value"] == "of a test"
    assert shop.call("api/v1/flags/").json == before.json


@pytest.mark.parametrize("is_cached_before", [True, False])
def test_a_preview_is_for_its_own_browser_only(shop: Shop, is_cached_before: bool) -> None:
    shop.settings["SECRET_KEY"] = "of the test"
    shop.flagsmith.preview_allowed(lambda: True)
    shop.app.register_blueprint(shop.flagsmith.preview)
    expected = "Welcome to the tea shop"
    if is_cached_before:
        answer = shop.call("api/v1/flags/")
        assert by_name(answer.json)["banner_text"]["feature_state_value"] == expected

    first = shop.call("api/v1/flags/?flagsmith.banner_text=previewed")
    cookie = {"Cookie": first.headers["Set-Cookie"].partition(";")[0]}
    for answer in (first, shop.call("api/v1/flags/", headers=cookie)):
        assert by_name(answer.json)["banner_text"]["feature_state_value"] == "previewed"
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert "ETag" not in answer.headers
    other = shop.call("api/v1/flags/")
    assert by_name(other.json)["banner_text"]["feature_state_value"] == expected
    kept = shop.call("api/v1/flags/", headers={**cookie, "If-None-Match": other.headers["ETag"]})
    assert kept.status_code == 200


def test_an_identity_is_the_loaders_whatever_the_browser_claims(
    shop: Shop, emulator: Emulator
) -> None:
    emulator.override_identity("ada", "banner_text", value="Hello Ada")
    emulator.override_identity("eve", "banner_text", value="Hello Eve")
    shop.identity = Identity("eve", {"plan": "free"})
    for answer in (
        shop.call("api/v1/identities/?identifier=ada"),
        shop.call("api/v1/identities/", "POST", json=claim("ada", plan="pro")),
    ):
        assert answer.json["identifier"] == "eve"
        assert answer.json["traits"] == []
        flags = by_name(answer.json["flags"])
        assert flags["banner_text"]["feature_state_value"] == "Hello Eve"
        assert SECRET not in answer.text
    assert by_name(shop.call("api/v1/flags/").json)["banner_text"] == flags["banner_text"]
    # All of it from the flags of the process.
    assert set(emulator.calls) == {"environment-document/"}


@pytest.mark.parametrize("identity", [None, Identity("ada", {"plan": "free", "secret": True})])
def test_sent_traits_come_back_to_the_requests_own_identity_only(
    shop: Shop, identity: Identity | None
) -> None:
    shop.identity = identity
    sent = claim("ada", plan="pro", gone=None)
    if identity is None:
        del sent["identifier"]
    own = shop.call("api/v1/identities/", "POST", json=sent)
    # As they were sent, and nothing about the identity's own.
    assert own.json["traits"] == [{"trait_key": "plan", "trait_value": "pro"}]
    # The flags are not those of a pro.
    assert own.json["flags"] == shop.call("api/v1/flags/").json
    other = shop.call("api/v1/identities/", "POST", json=claim("eve", plan="pro"))
    assert other.json["traits"] == []


def test_no_identity_gets_the_environments_flags(shop: Shop, emulator: Emulator) -> None:
    emulator.override_identity("ada", "banner_text", value="Hello Ada")
    answer = shop.call("api/v1/identities/?identifier=ada")
    assert answer.json["identifier"] is None
    assert answer.json["flags"] == shop.call("api/v1/flags/").json


def test_traits_are_believed_only_if_they_are_named(shop: Shop, emulator: Emulator) -> None:
    shop.settings["FLAGSMITH_BROWSER_TRAITS"] = ["theme"]
    rules = [
        {
            "type": "ALL",
            "rules": [],
            "conditions": [{"property_": name, "operator": "EQUAL", "value": "yes"}],
        }
        for name in ("theme", "plan")
    ]
    emulator.set_segment("themed", rules=rules[:1])
    emulator.set_segment("paying", rules=rules[1:])
    emulator.override_segment("themed", "banner_text", value="themed")
    emulator.override_segment("paying", "button_colour", value="paying")
    for identity in (None, Identity("ada")):
        shop.identity = identity
        answer = shop.call("api/v1/identities/", "POST", json=claim("x", theme="yes", plan="yes"))
        assert answer.json["traits"] == [{"trait_key": "theme", "trait_value": "yes"}]
        flags = by_name(answer.json["flags"])
        assert flags["banner_text"]["feature_state_value"] == "themed"
        assert flags["button_colour"]["feature_state_value"] != "paying"


def test_flagsmith_does_not_store_the_traits_of_browsers(shop: Shop, emulator: Emulator) -> None:
    shop.settings["FLAGSMITH_ENVIRONMENT_KEY"] = emulator.client_side_key
    shop.settings["FLAGSMITH_BROWSER_TRAITS"] = ["theme"]
    shop.identity = Identity("ada", {"plan": "pro", "age": {"value": 37, "transient": True}})
    answer = shop.call("api/v1/identities/", "POST", json=claim("ada", theme="dark"))
    assert by_name(answer.json["flags"])["beta_dashboard"]["enabled"] is True
    stored = requests.get(
        f"{emulator.url}api/v1/identities/?identifier=ada",
        headers={"X-Environment-Key": emulator.client_side_key},
        timeout=PATIENCE_SECONDS,
    ).json()
    assert [trait["trait_key"] for trait in stored["traits"]] == ["plan"]


def test_a_variant_is_part_of_the_answer_and_a_reason_is_not(shop: Shop) -> None:
    shop.identity = Identity("ada", {"plan": "pro"})
    answer = shop.call("api/v1/identities/?identifier=ada")
    assert by_name(answer.json["flags"])["button_colour"]["variant"]
    assert "reason" not in answer.text
    assert "segment" not in answer.text


def test_what_old_sdks_call(shop: Shop) -> None:
    trait = {"identity": {"identifier": "ada"}, "trait_key": "plan", "trait_value": "pro"}
    assert shop.call("api/v1/traits/", "POST", json=trait).json == trait
    assert shop.call("api/v1/traits/bulk/", "PUT", json=[trait]).json == [trait]


def test_the_usage_of_browsers_is_counted_with_that_of_the_app(
    shop: Shop, emulator: Emulator, patient_reports: None
) -> None:
    shop.settings["FLAGSMITH_ENABLE_ANALYTICS"] = True
    shop.settings["FLAGSMITH_ANALYTICS_INTERVAL_SECONDS"] = NEVER
    with shop.app.app_context():
        flags.is_feature_enabled("banner_text")
    counts = {
        "banner_text": 2,
        "Banner Text": 3,
        "free_delivery": 10_000,
        "button_colour": 10_001,
        "new_checkout": -1,
        "beta_dashboard": True,
        "no_such_feature": 1,
        SECRET: 1,
    }
    assert shop.call("api/v1/analytics/flags/", "POST", json=counts).status_code == 200
    assert shop.call("api/v1/analytics/flags/", "POST", json={"banner_text": []}).status_code == 200
    shop.flagsmith.stop(shop.app)
    assert emulator.analytics == {"banner_text": 6, "free_delivery": 10_000}


def test_the_usage_of_browsers_is_dropped_if_the_app_reports_none(
    shop: Shop, emulator: Emulator
) -> None:
    assert shop.call("api/v1/analytics/flags/", "POST", json={"banner_text": 2}).status_code == 200
    shop.flagsmith.stop(shop.app)
    assert not emulator.analytics


@pytest.mark.parametrize(
    ("path", "method", "body", "status"),
    [
        ("api/v1/nope/", "GET", None, 404),
        ("api/v1/environment-document/", "GET", None, 404),
        ("api/v1/flags/", "POST", "{}", 405),
        ("api/v1/identities/", "DELETE", None, 405),
        ("epoch", "PUT", None, 405),
        ("events", "POST", None, 405),
        ("api/v1/identities/", "POST", "{oops", 400),
        ("api/v1/identities/", "POST", "", 400),
        ("api/v1/identities/", "POST", "NaN", 400),
        ("api/v1/identities/", "POST", "[" * 30_000, 400),
        ("api/v1/identities/", "POST", "[]", 400),
        ("api/v1/identities/", "POST", '{"traits": null}', 400),
        ("api/v1/identities/", "POST", '{"traits": [1]}', 400),
        ("api/v1/identities/", "POST", '{"traits": [{"trait_key": 1}]}', 400),
        ("api/v1/identities/", "POST", '{"traits": [{"trait_key": "a", "trait_value": []}]}', 400),
        (
            "api/v1/identities/",
            "POST",
            '{"traits": [{"trait_key": "a", "trait_value": 1e999}]}',
            400,
        ),
        (
            "api/v1/identities/",
            "POST",
            json.dumps({"traits": [{"trait_key": "a", "trait_value": 10**400}]}),
            400,
        ),
        (
            "api/v1/identities/",
            "POST",
            json.dumps({"traits": [{"trait_key": "a", "trait_value": "x" * 2001}]}),
            400,
        ),
        ("api/v1/identities/", "POST", json.dumps({"traits": ["x" * 70_000]}), 413),
        ("api/v1/analytics/flags/", "POST", "[]", 400),
    ],
)
def test_bad_input_gets_a_short_error_and_no_log_line(
    shop: Shop,
    caplog: pytest.LogCaptureFixture,
    path: str,
    method: str,
    body: str | None,
    status: int,
) -> None:
    shop.call("api/v1/flags/")
    with caplog.at_level(logging.INFO):
        caplog.clear()
        answer = shop.call(path, method, data=body, content_type="application/json")
    assert answer.status_code == status
    assert answer.is_json
    assert list(answer.json) == ["detail"]
    assert len(answer.text) < 200
    assert caplog.records == []


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "https://shop.example", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "https://www.example.com", "Sec-Fetch-Site": "cross-site"}, True),
    ],
)
def test_only_the_apps_own_pages_and_listed_origins(
    shop: Shop, headers: dict[str, str], allowed: bool
) -> None:
    shop.settings["FLAGSMITH_BROWSER_ORIGINS"] = ["https://www.example.com"]
    answer = shop.call("api/v1/flags/", headers=headers)
    assert answer.status_code == (200 if allowed else 403)
    assert "Origin" in answer.headers["Vary"]
    listed = headers.get("Origin") == "https://www.example.com"
    assert ("Access-Control-Allow-Origin" in answer.headers) is listed


def test_preflight_requests(shop: Shop) -> None:
    shop.settings["FLAGSMITH_BROWSER_ORIGINS"] = ["https://www.example.com"]
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-environment-key",
    }
    listed = {"Origin": "https://www.example.com", "Sec-Fetch-Site": "cross-site", **asked}
    answer = shop.call("api/v1/identities/", "OPTIONS", headers=listed)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://www.example.com"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS"
    assert "X-Environment-Key" in answer.headers["Access-Control-Allow-Headers"]
    other = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", **asked}
    answer = shop.call("api/v1/identities/", "OPTIONS", headers=other)
    assert answer.status_code == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_no_origin_is_allowed_by_default(shop: Shop) -> None:
    answer = shop.call("api/v1/flags/", headers={"Origin": "https://www.example.com"})
    assert answer.status_code == 403
    assert "Access-Control-Allow-Origin" not in answer.headers
