"""The page without a browser: its content, and its forms as they are sent without scripts."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
import requests

from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.emulator import document as documents
from tests.support import recorded
from tests.support.waiting import PATIENCE_SECONDS


def page_of(emulator: Emulator) -> str:
    """Return the visible text of the page as one line."""
    text = re.sub(r"<[^>]+>", " ", requests.get(emulator.url, timeout=PATIENCE_SECONDS).text)
    return " ".join(html.unescape(text).split())


def send(emulator: Emulator, action: str, **fields: Any) -> requests.Response:
    """Send one of the page's forms."""
    return requests.post(
        f"{emulator.url}edit/{action}", data=fields, allow_redirects=False, timeout=PATIENCE_SECONDS
    )


def identify(emulator: Emulator, identifier: str) -> None:
    """Ask for an identity, as an app with remote evaluation does."""
    requests.get(
        emulator.api_url + "identities/",
        params={"identifier": identifier},
        headers={"X-Environment-Key": emulator.client_side_key},
        timeout=PATIENCE_SECONDS,
    ).raise_for_status()


def flag(emulator: Emulator, name: str) -> dict[str, Any]:
    state = documents.find_flag(emulator.document, name)
    assert state is not None
    return state


def segment(emulator: Emulator, name: str) -> dict[str, Any]:
    found = documents.find_segment(emulator.document, name)
    assert found is not None
    return found


def overrides(emulator: Emulator, identifier: str) -> dict[str, bool]:
    entry = documents.find_identity(emulator.document, identifier) or {"identity_features": []}
    return {state["feature"]["name"]: state["enabled"] for state in entry["identity_features"]}


def test_it_shows_features_segments_and_identities(emulator: Emulator) -> None:
    text = page_of(emulator)

    assert "Tea shop / Development" in text
    assert "banner_text text" in text
    assert "pricing JSON" in text
    assert "indigo 50 % control teal 30 % calm crimson 20 % bold" in text
    assert "overridden for segment pro_customers" in text
    assert "pro_customers plan is pro beta_dashboard" in text
    assert "every_second_visitor 50 % of identities free_delivery" in text
    assert "ben not served yet plan free" in text
    assert "FLASK_FLAGSMITH_API_URL " + emulator.api_url in text


def test_it_shows_what_an_identity_was_served_and_why(emulator: Emulator) -> None:
    identify(emulator, "chloe")
    chloe = page_of(emulator).partition(" chloe served ")[2].partition(" Change traits")[0]

    assert "new_checkout on override" in chloe
    assert "banner_text on environment Welcome to the tea shop" in chloe
    assert "button_colour on split, 20 % crimson" in chloe
    assert "beta_dashboard on segment pro_customers" in chloe


def test_it_shows_what_changed_for_an_identity_since(emulator: Emulator) -> None:
    identify(emulator, "ada")
    emulator.override_identity("ada", "new_checkout", enabled=True)

    assert "new_checkout off environment now on" in page_of(emulator)
    assert "new_checkout for ada: on" in page_of(emulator)


def test_the_version_changes_with_what_is_shown(emulator: Emulator) -> None:
    def version() -> str:
        return requests.get(emulator.url + "version", timeout=PATIENCE_SECONDS).text

    seen = [version()]
    assert version() == seen[0]
    for change in (
        lambda: emulator.set_flag("new_checkout", enabled=True),
        lambda: emulator.set_traits("ben", plan="pro"),
        lambda: identify(emulator, "ben"),
    ):
        change()
        seen.append(version())
    assert len(set(seen)) == len(seen)


def test_a_switch(emulator: Emulator) -> None:
    epoch = emulator.epoch
    place = "feature-1"
    response = send(emulator, "switch", feature="new_checkout", enabled="on", place=place)

    assert response.status_code == 303
    assert response.headers["Location"] == "/#feature-1"
    assert flag(emulator, "new_checkout")["enabled"] is True
    assert emulator.epoch > epoch


def test_a_value(emulator: Emulator) -> None:
    send(emulator, "value", feature="pricing", value='{\r\n  "mug": 1\r\n}')
    send(emulator, "value", feature="banner_text", value="25")
    send(emulator, "value", feature="button_colour", value="")

    assert flag(emulator, "pricing")["feature_state_value"] == '{\n  "mug": 1\n}'
    assert flag(emulator, "banner_text")["feature_state_value"] == 25
    assert flag(emulator, "button_colour")["feature_state_value"] is None


def test_an_unchanged_value_stays_text(emulator: Emulator) -> None:
    emulator.set_flag("banner_text", value="25")
    send(emulator, "value", feature="banner_text", value="25")

    assert flag(emulator, "banner_text")["feature_state_value"] == "25"


def test_a_feature_comes_and_goes(emulator: Emulator) -> None:
    send(emulator, "add-feature", name=" fresh ", value="7")
    assert flag(emulator, "fresh")["feature_state_value"] == 7
    assert (
        "there is a feature named fresh already" in send(emulator, "add-feature", name="fresh").text
    )

    send(emulator, "delete-feature", feature="fresh")
    assert documents.find_flag(emulator.document, "fresh") is None


def test_variants(emulator: Emulator) -> None:
    send(
        emulator,
        "variants",
        feature="button_colour",
        variant=["teal", "", "pink"],
        share=["12.5", "0", "40"],
    )

    assert [
        (each["multivariate_feature_option"]["value"], each["percentage_allocation"])
        for each in flag(emulator, "button_colour")["multivariate_feature_state_values"]
    ] == [("teal", 12.5), ("pink", 40)]


def test_a_segments_rules_and_overrides(emulator: Emulator) -> None:
    send(emulator, "add-segment", name="big", property="orders", operator="GREATER_THAN", value="9")
    send(emulator, "override", segment="big", feature="new_checkout")
    assert "big orders is greater than 9 new_checkout" in page_of(emulator)
    assert segment(emulator, "big")["feature_states"][0]["enabled"] is True

    send(emulator, "conditions", segment="big", property="", operator="PERCENTAGE_SPLIT", value="5")
    send(emulator, "switch", segment="big", feature="new_checkout", enabled="off")
    send(emulator, "value", segment="big", feature="new_checkout", value="x")
    assert "big 5 % of identities new_checkout" in page_of(emulator)
    state = segment(emulator, "big")["feature_states"][0]
    assert (state["enabled"], state["feature_state_value"]) == (False, "x")

    send(emulator, "delete-override", segment="big", feature="new_checkout")
    assert segment(emulator, "big")["feature_states"] == []
    send(emulator, "delete-segment", segment="big")
    assert documents.find_segment(emulator.document, "big") is None


def test_an_identitys_traits_and_overrides(emulator: Emulator) -> None:
    epoch = emulator.epoch
    send(emulator, "trait", identity="eve", trait="plan", value="pro")
    assert emulator.epoch == epoch
    assert "traits of eve: plan not announced" in page_of(emulator)
    send(emulator, "override", identity="eve", feature="new_checkout")
    send(emulator, "switch", identity="eve", feature="pricing", enabled="off")
    assert overrides(emulator, "eve") == {"new_checkout": True, "pricing": False}
    assert "eve not served yet plan pro" in page_of(emulator)

    send(emulator, "delete-override", identity="eve", feature="new_checkout")
    assert overrides(emulator, "eve") == {"pricing": False}
    assert emulator.epoch > epoch


@pytest.mark.parametrize(
    ("action", "fields", "reason"),
    [
        ("nonsense", {}, "there is no action 'nonsense'"),
        ("switch", {"enabled": "on"}, "the field 'feature' is empty"),
        ("value", {"feature": "pricing", "segment": "nope"}, "there is no segment named 'nope'"),
        ("delete-feature", {"feature": "nope"}, "there is no feature named 'nope'"),
        (
            "variants",
            {"feature": "pricing", "variant": "a", "share": "x"},
            "'x' is not a percentage",
        ),
        ("variants", {"feature": "pricing", "variant": "a", "share": "101"}, "0 to 100 %"),
        ("variants", {"feature": "pricing", "variant": "a", "share": "nan"}, "0 to 100 %"),
        ("override", {"feature": "pricing"}, "the field 'identity' is empty"),
        ("add-segment", {"name": "big"}, "each condition needs a trait, an operator and a value"),
        (
            "add-segment",
            {"name": "big", "property": "", "operator": "EQUAL", "value": "1"},
            "a condition needs a trait",
        ),
        (
            "conditions",
            {"segment": "nope", "property": "a", "operator": "EQUAL", "value": "1"},
            "there is no segment named 'nope'",
        ),
        (
            "conditions",
            {"segment": "pro_customers", "property": "a", "operator": "LIKE", "value": "1"},
            "there is no operator 'LIKE'",
        ),
        (
            "add-segment",
            {"name": "x", "property": "", "operator": "PERCENTAGE_SPLIT", "value": "101"},
            "a share is 0 to 100 %",
        ),
        ("trait", {"identity": "ada", "trait": " "}, "the field 'trait' is empty"),
    ],
)
def test_an_invalid_form_is_answered_with_the_reason(
    emulator: Emulator, action: str, fields: dict[str, str], reason: str
) -> None:
    before = emulator.document
    response = send(emulator, action, **fields)

    assert response.status_code == 400
    assert reason in html.unescape(response.text)
    assert 'role="alert"' in response.text
    assert emulator.document == before


def test_names_and_values_are_escaped(emulator: Emulator) -> None:
    nasty = "<script>alert(1)</script>\"'&"
    emulator.set_flag(nasty, value=nasty)
    emulator.set_traits(nasty, **{nasty: nasty})
    emulator.override_identity(nasty, nasty, enabled=True)
    emulator.set_segment(nasty, [], {nasty: {"enabled": True}})
    identify(emulator, nasty)
    text = requests.get(emulator.url, timeout=PATIENCE_SECONDS).text

    assert "<script>alert" not in text
    assert html.escape(nasty) in text.replace("&#34;", "&quot;").replace("&#39;", "&#x27;")


def test_an_empty_environment_has_a_page_too() -> None:
    document = recorded.environment_document()
    document["feature_states"] = document["identity_overrides"] = []
    document["project"] = {"id": 1, "segments": []}
    with Emulator(document=document) as emulator:
        text = page_of(emulator)

    assert "There are no features yet" in text
    assert "There are no segments yet" in text
    assert "No identity was served yet" in text


def test_its_parts_are_served(emulator: Emulator) -> None:
    text = requests.get(emulator.url, timeout=PATIENCE_SECONDS).text
    paths = set(re.findall(r'(?:src|href)="(/[^"]+)"', text))

    assert {path.rpartition(".")[2] for path in paths} == {"css", "js", "svg"}
    for path in paths:
        assert (
            requests.get(emulator.url.rstrip("/") + path, timeout=PATIENCE_SECONDS).status_code
            == 200
        )
