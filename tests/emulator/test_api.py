"""The API beyond the recordings: pages, traits, keys, conditions."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from flask_flagsmith_realtime.emulator import Emulator
from tests.emulator.calls import call, identify, stored_traits, trait
from tests.support import recorded
from tests.support.waiting import PATIENCE_SECONDS


def flag_of(answer: dict[str, Any], name: str) -> dict[str, Any]:
    flags: list[dict[str, Any]] = answer["flags"]
    return next(flag for flag in flags if flag["feature"]["name"] == name)


def test_a_change_is_in_every_answer_at_once_with_its_epoch(emulator: Emulator) -> None:
    epoch = emulator.set_flag("banner_text", value="new")

    for path in ("environment-document/", "flags/", "identities/?identifier=ben"):
        response = call(emulator, path)
        assert float(response.headers["X-Flagsmith-Document-Updated-At"]) == epoch
        assert '"new"' in response.text


def test_the_header_can_lag_behind_the_body(emulator: Emulator) -> None:
    def seen() -> tuple[float, bool]:
        response = call(emulator, "flags/")
        return float(response.headers["X-Flagsmith-Document-Updated-At"]), '"new"' in response.text

    before = emulator.epoch
    emulator.lag_header(3600)
    first = emulator.set_flag("banner_text", value="old")
    after = emulator.set_flag("banner_text", value="new")
    assert first < after
    assert seen() == (before, True)

    emulator.lag_header(0)
    assert seen() == (after, True)


def test_calls_are_counted_by_their_paths(emulator: Emulator) -> None:
    call(emulator, "environment-document/")
    call(emulator, "flags/")
    call(emulator, "flags/", key="wrong")
    call(emulator, "flags/?feature=banner_text")

    assert emulator.calls == {"environment-document/": 1, "flags/": 3}


def all_pages(emulator: Emulator) -> list[dict[str, Any]]:
    """Follow the links from page to page."""
    pages, path = [], "environment-document/"
    while path:
        response = call(emulator, path)
        pages.append(response.json())
        path = response.links.get("next", {}).get("url", "")
    return pages


def test_a_large_document_comes_in_pages() -> None:
    names = ["a", "b/ü?&", "c%41", "d e", "f"]
    with Emulator(document=recorded.environment_document(), page_size=2) as emulator:
        for name in names:
            emulator.override_identity(name, "new_checkout", enabled=False)
        pages = all_pages(emulator)

    overrides = [[entry["identifier"] for entry in page["identity_overrides"]] for page in pages]
    assert overrides == [["a", "alice@example.com"], ["b/ü?&", "c%41"], ["d e", "f"]]
    assert all(page["feature_states"] == pages[0]["feature_states"] for page in pages)


def test_an_override_that_goes_between_two_pages_takes_no_other_along() -> None:
    with Emulator(document=recorded.environment_document(), page_size=1) as emulator:
        for name in ("b", "c"):
            emulator.override_identity(name, "new_checkout", enabled=False)
        first = call(emulator, "environment-document/")
        emulator.delete_identity_override("alice@example.com", "new_checkout")
        second = call(emulator, first.links["next"]["url"])

    assert [entry["identifier"] for entry in second.json()["identity_overrides"]] == ["b"]


def test_a_document_that_fits_has_no_link(emulator: Emulator) -> None:
    assert "Link" not in call(emulator, "environment-document/").headers


def test_the_document_holds_no_traits(emulator: Emulator) -> None:
    document = call(emulator, "environment-document/").json()

    assert [entry["identifier"] for entry in document["identity_overrides"]] == ["chloe"]
    assert document["identity_overrides"][0]["identity_traits"] == []


def test_a_document_that_has_changed_is_never_called_unmodified(emulator: Emulator) -> None:
    emulator.set_flag("banner_text", value="one")
    modified = call(emulator, "environment-document/").headers["Last-Modified"]
    # Most likely within the same second, which is the resolution of the header.
    emulator.set_flag("banner_text", value="two")
    response = call(emulator, "environment-document/", headers={"If-Modified-Since": modified})

    assert response.status_code == 200
    assert '"two"' in response.text


def test_traits_are_kept_and_decide_the_segments(emulator: Emulator) -> None:
    assert not flag_of(identify(emulator, identifier="eve").json(), "beta_dashboard")["enabled"]

    answer = identify(emulator, identifier="eve", traits=[trait("plan", "pro")]).json()
    assert flag_of(answer, "beta_dashboard")["enabled"]
    later = call(emulator, "identities/?identifier=eve").json()
    assert flag_of(later, "beta_dashboard")["enabled"]
    assert [(t["trait_key"], t["trait_value"]) for t in later["traits"]] == [("plan", "pro")]


def test_a_trait_of_none_is_removed(emulator: Emulator) -> None:
    answer = identify(emulator, identifier="ada", traits=[trait("plan", None)]).json()

    assert answer["traits"] == []
    assert not flag_of(answer, "beta_dashboard")["enabled"]


@pytest.mark.parametrize(
    "body",
    [
        {"identifier": "eve", "traits": [trait("plan", "pro")], "transient": True},
        {"identifier": "eve", "traits": [trait("plan", "pro", transient=True)]},
    ],
    ids=["the identity", "the trait"],
)
def test_what_is_transient_counts_for_its_call_alone(
    emulator: Emulator, body: dict[str, Any]
) -> None:
    answer = identify(emulator, **body).json()
    assert answer["traits"] == [trait("plan", "pro", transient=True) | {"id": None}]
    assert flag_of(answer, "beta_dashboard")["enabled"]

    assert call(emulator, "identities/?identifier=eve").json()["traits"] == []


def test_without_an_identifier_equal_traits_make_the_same_one(emulator: Emulator) -> None:
    one, other, third = (
        identify(emulator, traits=[trait("plan", plan)]).json() for plan in ("pro", "pro", "free")
    )

    assert one["identifier"] == other["identifier"] != third["identifier"]
    assert "plan" not in str(emulator.document["identity_overrides"][3:])


def test_an_organisation_that_keeps_no_traits() -> None:
    document = recorded.environment_document()
    document["project"]["organisation"]["persist_trait_data"] = False
    with Emulator(document=document) as emulator:
        answer = identify(emulator, identifier="eve", traits=[trait("plan", "pro")]).json()
        later = call(emulator, "identities/?identifier=eve").json()

    assert flag_of(answer, "beta_dashboard")["enabled"]
    assert not flag_of(later, "beta_dashboard")["enabled"]


def test_traits_of_clients_can_be_forbidden() -> None:
    document = recorded.environment_document()
    document["allow_client_traits"] = False
    with Emulator(document=document) as emulator:
        traits = [trait("plan", "pro")]
        refused = identify(emulator, emulator.client_side_key, identifier="eve", traits=traits)
        allowed = identify(emulator, identifier="eve", traits=traits)

    assert refused.status_code == 400
    assert refused.json() == {"traits": ["Setting traits not allowed with client key."]}
    assert allowed.status_code == 200


def test_features_for_servers_only_and_disabled_ones_are_hidden() -> None:
    document = recorded.environment_document()
    document["project"]["server_key_only_feature_ids"] = [6]
    document["hide_disabled_flags"] = True
    with Emulator(document=document) as emulator:
        seen = {
            key: {flag["feature"]["name"] for flag in call(emulator, "flags/", key=key).json()}
            for key in (emulator.client_side_key, emulator.server_side_key)
        }

    assert seen[emulator.server_side_key] - seen[emulator.client_side_key] == {"pricing"}
    assert "beta_dashboard" not in seen[emulator.server_side_key]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (
            {"traits": [{"trait_value": 1}]},
            {"traits": [{"trait_key": ["This field is required."]}]},
        ),
        (
            {"traits": [trait("a", 1), trait(" ", 1)]},
            {"traits": [{}, {"trait_key": ["This field may not be blank."]}]},
        ),
        (
            {"traits": [trait(None, 1, transient="maybe")]},
            {
                "traits": [
                    {
                        "trait_key": ["This field may not be null."],
                        "transient": ["Must be a valid boolean."],
                    }
                ]
            },
        ),
        ({"transient": None}, {"transient": ["This field may not be null."]}),
        ({"identifier": "a\0"}, {"identifier": ["Null characters are not allowed."]}),
        (
            {"identifier": True, "traits": None},
            {
                "identifier": ["Not a valid string."],
                "traits": ["This field may not be null."],
            },
        ),
    ],
)
def test_an_invalid_identity_is_refused_with_each_error(
    emulator: Emulator, body: Any, errors: dict[str, Any]
) -> None:
    response = call(emulator, "identities/", json=body)

    assert response.status_code == 400
    assert response.json() == errors


@pytest.mark.parametrize(
    "body",
    [
        {"identifier": "x" * 2001},
        {"identifier": "eve", "traits": [trait("n", 2**31)]},
        {"identifier": "eve", "traits": [trait("n", "\ud800")]},
        {"identifier": "\udfff"},
    ],
    ids=["a long identifier", "a large integer", "half a character", "half an identifier"],
)
def test_what_a_database_cannot_store_is_a_server_error(
    emulator: Emulator, body: dict[str, Any]
) -> None:
    before = emulator.document

    assert identify(emulator, **body).status_code == 500
    assert emulator.document is before


def test_what_is_not_stored_may_be_any_number(emulator: Emulator) -> None:
    answer = identify(emulator, traits=[trait("n", 2**40)], identifier="eve", transient=True)

    assert answer.json()["traits"][0]["trait_value"] == 2**40


def test_blanks_at_the_ends_of_names_are_removed(emulator: Emulator) -> None:
    identify(emulator, identifier=" eve ", traits=[trait(" plan ", " pro ")])

    assert stored_traits(emulator, "eve") == {"plan": " pro "}


@pytest.mark.parametrize("path", ["nothing/", "api/nothing", "identities/ada/traits/plan/"])
def test_an_unknown_path_is_a_json_error(emulator: Emulator, path: str) -> None:
    response = call(emulator, path)

    assert (response.status_code, response.json()) == (404, {"detail": "Not found."})


def test_the_slash_at_the_end_is_added_and_the_query_kept(emulator: Emulator) -> None:
    response = call(emulator, "flags?feature=banner_text")

    assert response.json()["feature"]["name"] == "banner_text"
    assert response.history[0].headers["Location"] == "/api/v1/flags/?feature=banner_text"


def test_a_body_that_is_too_large_is_a_json_error(emulator: Emulator) -> None:
    response = identify(emulator, identifier="x" * 5_000_000)

    assert response.status_code == 413
    assert list(response.json()) == ["detail"]


def test_invalid_json_is_refused(emulator: Emulator) -> None:
    response = requests.post(
        emulator.api_url + "identities/",
        data="{",
        headers={
            "X-Environment-Key": emulator.server_side_key,
            "Content-Type": "application/json",
        },
        timeout=PATIENCE_SECONDS,
    )

    assert response.status_code == 400


def test_one_flag_of_an_identity(emulator: Emulator) -> None:
    flag = call(emulator, "identities/?identifier=ada&feature=beta_dashboard")
    unknown = call(emulator, "identities/?identifier=ada&feature=nope")

    assert flag.json()["enabled"] is True
    assert unknown.status_code == 404


def test_a_missing_identifier_is_not_an_error(emulator: Emulator) -> None:
    response = call(emulator, "identities/")

    assert response.status_code == 200
    assert response.json() == {"detail": "Missing identifier"}
