"""The changes that the emulator's methods make."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from flagsmith import Flagsmith
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_flagsmith_realtime.emulator import UNSET, EditError, Emulator
from flask_flagsmith_realtime.emulator import document as documents
from flask_flagsmith_realtime.emulator.environment import Environment
from flask_flagsmith_realtime.emulator.rules import rule_of


def state_of(emulator: Emulator, name: str) -> dict[str, Any] | None:
    return documents.find_flag(emulator.document, name)


def get(emulator: Emulator, identifier: str, feature: str) -> tuple[bool, Any]:
    """Return a feature as an identity gets it, evaluated as in the API."""
    environment = Environment(emulator.document)
    for served in environment.evaluate(identifier, environment.traits(identifier)):
        if served.state["feature"]["name"] == feature:
            return served.state["enabled"], served.value
    raise KeyError(feature)


@pytest.mark.parametrize(("before", "after"), [(1, True), (0, False)])
def test_a_silent_change_of_type_alone_is_a_change(
    emulator: Emulator, before: int, after: bool
) -> None:
    emulator.set_flag("banner_text", value=before)
    emulator.override_identity("alice", "banner_text", value=before)
    with emulator.silent():
        emulator.set_flag("banner_text", value=after)
        emulator.override_identity("alice", "banner_text", value=after)
    assert get(emulator, "bob", "banner_text")[1] is after
    assert get(emulator, "alice", "banner_text")[1] is after


def test_each_change_has_a_newer_epoch(emulator: Emulator) -> None:
    epochs = [emulator.epoch]
    for number in range(100):
        epochs.append(emulator.set_flag("banner_text", value=number))

    assert epochs == sorted(set(epochs))
    assert emulator.epoch == epochs[-1]


def test_a_flag_keeps_what_is_not_given(emulator: Emulator) -> None:
    emulator.set_flag("banner_text", enabled=False)
    assert state_of(emulator, "banner_text")["feature_state_value"] == "Welcome to the tea shop"

    emulator.set_flag("banner_text", value=None)
    assert state_of(emulator, "banner_text")["enabled"] is False
    assert state_of(emulator, "banner_text")["feature_state_value"] is None
    assert repr(UNSET) == "UNSET"


def test_an_unknown_flag_is_added_off(emulator: Emulator) -> None:
    emulator.set_flag("fresh", value=7)

    state = state_of(emulator, "fresh")
    assert (state["enabled"], state["feature_state_value"]) == (False, 7)
    ids = [other["feature"]["id"] for other in emulator.document["feature_states"]]
    assert len(set(ids)) == len(ids)


def test_a_flag_goes_with_its_overrides(emulator: Emulator) -> None:
    emulator.delete_flag("beta_dashboard")
    emulator.delete_flag("new_checkout")

    names = {state["feature"]["name"] for state in documents.feature_states(emulator.document)}
    assert not names & {"beta_dashboard", "new_checkout"}


def test_variants(emulator: Emulator) -> None:
    kept = state_of(emulator, "button_colour")["multivariate_feature_state_values"][0]
    emulator.set_variants("button_colour", {"teal": 100})
    after = state_of(emulator, "button_colour")["multivariate_feature_state_values"]

    # Its id is part of the hash that selects the identities.
    assert [variant["id"] for variant in after] == [kept["id"]]
    assert get(emulator, "ada", "button_colour") == (True, "teal")

    emulator.set_variants("button_colour", {})
    assert state_of(emulator, "button_colour")["feature"]["type"] == "STANDARD"
    assert get(emulator, "ada", "button_colour") == (True, "indigo")


def test_segments(emulator: Emulator) -> None:
    over_ten = rule_of({"operator": "GREATER_THAN", "value": "10", "property_": "orders"})
    emulator.set_segment("regulars", [over_ten], {"banner_text": {"value": "Welcome back"}})
    emulator.set_traits("ada", orders=12)
    emulator.set_traits("ben", orders=2)
    assert get(emulator, "ada", "banner_text") == (True, "Welcome back")
    assert get(emulator, "ben", "banner_text") == (True, "Welcome to the tea shop")

    emulator.override_segment("regulars", "banner_text", enabled=False)
    assert get(emulator, "ada", "banner_text") == (False, "Welcome back")

    emulator.delete_segment_override("regulars", "banner_text")
    assert get(emulator, "ada", "banner_text") == (True, "Welcome to the tea shop")

    emulator.delete_segment("regulars")
    assert documents.find_segment(emulator.document, "regulars") is None


def test_the_first_segment_wins(emulator: Emulator) -> None:
    everyone = rule_of({"operator": "PERCENTAGE_SPLIT", "value": "100", "property_": None})
    for name in ("first", "second"):
        emulator.set_segment(name, [everyone], {"banner_text": {"value": name}})

    assert get(emulator, "ben", "banner_text") == (True, "first")


def test_an_identitys_override_takes_precedence(emulator: Emulator) -> None:
    emulator.override_identity("ada", "beta_dashboard", enabled=False)
    assert get(emulator, "ada", "beta_dashboard") == (False, None)

    emulator.delete_identity_override("ada", "beta_dashboard")
    assert get(emulator, "ada", "beta_dashboard") == (True, None)


def test_traits_decide_and_none_removes_one(emulator: Emulator) -> None:
    emulator.set_traits("ben", plan="pro")
    assert get(emulator, "ben", "beta_dashboard") == (True, None)

    emulator.set_traits("ben", plan=None)
    assert get(emulator, "ben", "beta_dashboard") == (False, None)
    assert documents.find_identity(emulator.document, "ben") is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda e: e.delete_flag("nope"), "no feature named 'nope'"),
        (lambda e: e.set_flag(" ", enabled=True), "the feature needs a name"),
        (lambda e: e.set_flag("pricing", value={"mug": 1}), r"pass json.dumps\(…\) of it"),
        (lambda e: e.set_variants("nope", {"a": 1}), "no feature named 'nope'"),
        (lambda e: e.set_variants("button_colour", {"a": 60, "b": 60}), "not more together"),
        (lambda e: e.set_variants("button_colour", {"a": -1}), "0 to 100 %"),
        (lambda e: e.delete_segment("nope"), "no segment named 'nope'"),
        (lambda e: e.override_segment("pro_customers", "nope", enabled=True), "named 'nope'"),
        (lambda e: e.delete_segment_override("pro_customers", "pricing"), "is not overridden"),
        (lambda e: e.override_identity("ada", "nope", enabled=True), "named 'nope'"),
        (lambda e: e.override_identity("", "pricing", enabled=True), "needs a name"),
        (lambda e: e.delete_identity_override("ben", "pricing"), "is not overridden"),
        (lambda e: e.delete_identity_override("zoe", "pricing"), "has no overrides"),
        (lambda e: e.set_traits("ada", **{"": 1}), "the trait needs a name"),
        (
            lambda e: e.set_segment("x", [rule_of({"operator": "REGEX", "value": "("})]),
            r"would be invalid: .*\$\.project\.segments\[2\]",
        ),
        (lambda e: e.set_segment("x", [{"type": "MOST"}]), "would be invalid: .*MOST"),
    ],
)
def test_an_invalid_change_is_refused_and_changes_nothing(
    emulator: Emulator, change: Any, reason: str
) -> None:
    before, epoch = emulator.document, emulator.epoch

    with pytest.raises(EditError, match=reason):
        change(emulator)
    assert emulator.document == before
    assert emulator.epoch == epoch


NAMES = st.sampled_from(["new_checkout", "button_colour", "fresh", "ü b"])
PEOPLE = st.sampled_from(["ada", "ben", "eve"])
VALUES = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=5)
CHANGES = st.one_of(
    st.builds(
        lambda n, on, v: lambda e: e.set_flag(n, enabled=on, value=v), NAMES, st.booleans(), VALUES
    ),
    st.builds(lambda n: lambda e: e.delete_flag(n), NAMES),
    st.builds(
        lambda n, s: lambda e: e.set_variants(n, {"a": s, "b": 100 - s}), NAMES, st.integers(0, 100)
    ),
    st.builds(
        lambda n, v: lambda e: e.override_segment("pro_customers", n, value=v), NAMES, VALUES
    ),
    st.builds(lambda p, n, v: lambda e: e.override_identity(p, n, value=v), PEOPLE, NAMES, VALUES),
    st.builds(lambda p, n: lambda e: e.delete_identity_override(p, n), PEOPLE, NAMES),
    st.builds(lambda p, v: lambda e: e.set_traits(p, plan=v), PEOPLE, VALUES),
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(CHANGES, max_size=12))
def test_the_sdk_can_evaluate_the_document_after_any_change(changes: list[Any]) -> None:
    emulator = Emulator()
    for change in changes:
        try:
            change(emulator)
        except EditError:
            continue
    served = json.loads(Environment(emulator.document).served_document)
    sdk = Flagsmith(offline_mode=True, offline_handler=Held(served))
    for person in ("ada", "ben", "eve"):
        traits = Environment(emulator.document).traits(person)
        flags = sdk.get_identity_flags(person, traits).all_flags()
        assert [(flag.enabled, flag.value) for flag in flags] == [
            get(emulator, person, flag.feature_name) for flag in flags
        ]


class Held:
    """An offline handler of the SDK."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def get_environment(self) -> Any:
        return self._document


@settings(max_examples=40, deadline=None)
@given(st.lists(CHANGES, max_size=12))
def test_a_change_leaves_earlier_versions_alone(changes: list[Any]) -> None:
    emulator = Emulator()
    versions: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for change in changes:
        versions.append((emulator.document, copy.deepcopy(emulator.document)))
        try:
            change(emulator)
        except EditError:
            continue
    for held, copied in versions:
        assert held == copied
