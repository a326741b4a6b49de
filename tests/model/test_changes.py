"""The differences between two snapshots."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from flask_flagsmith_realtime.model.changes import FlagChange, diff
from flask_flagsmith_realtime.model.flag import Flag
from flask_flagsmith_realtime.model.snapshot import Snapshot
from tests.support import recorded
from tests.support.snapshots import snapshot_of_answer, snapshot_of_document

Document = dict[str, Any]
NAMES = {
    "new_checkout",
    "banner_text",
    "max_items",
    "button_colour",
    "beta_dashboard",
    "pricing",
}


def snapshot(document: Document) -> Snapshot:
    return snapshot_of_document(document, 5.0, 7.0)


def changes_by(edit: Callable[[Document], object]) -> dict[str, FlagChange]:
    """Return the changes after an edit of the recorded document."""
    document = recorded.environment_document()
    edit(document)
    return dict(diff(snapshot(recorded.environment_document()), snapshot(document)))


def state(document: Document, name: str) -> Document:
    found: Document = next(
        state for state in document["feature_states"] if state["feature"]["name"] == name
    )
    return found


def test_nothing_differs_between_two_fetches_of_the_same() -> None:
    assert changes_by(lambda document: None) == {}


def test_epoch_and_time_are_no_change() -> None:
    assert changes_by(lambda document: document.update(updated_at="2027-01-01T00:00:00")) == {}


def test_before_the_first_snapshot_every_feature_is_new() -> None:
    changes = diff(None, snapshot(recorded.environment_document()))
    assert changes.keys() == NAMES
    assert all(change.before is None for change in changes.values())


def test_a_flag_switched() -> None:
    changes = changes_by(lambda document: state(document, "new_checkout").update(enabled=False))
    assert changes == {
        "new_checkout": FlagChange(
            "new_checkout",
            Flag("new_checkout", True, None, 1),
            Flag("new_checkout", False, None, 1),
        )
    }


def test_a_value_changed() -> None:
    changes = changes_by(
        lambda document: state(document, "banner_text").update(feature_state_value="Hi")
    )
    assert changes.keys() == {"banner_text"}
    assert changes["banner_text"].after == Flag("banner_text", True, "Hi", 2)
    assert not changes["banner_text"].targeting_changed


def test_a_feature_removed() -> None:
    changes = changes_by(lambda document: document["feature_states"].pop(0))
    assert changes.keys() == {"new_checkout"}
    assert changes["new_checkout"].after is None
    # The override that one identity had for it is still in the document.
    assert not changes["new_checkout"].targeting_changed


def test_a_feature_added() -> None:
    def add(document: Document) -> None:
        new = copy.deepcopy(state(document, "max_items"))
        new["feature"].update(id=99, name="new")
        document["feature_states"].append(new)

    changes = changes_by(add)
    assert changes == {"new": FlagChange("new", None, Flag("new", True, 25, 99))}


def test_the_order_of_features_is_no_change() -> None:
    assert changes_by(lambda document: document["feature_states"].reverse()) == {}


def segment(document: Document, index: int) -> Document:
    found: Document = document["project"]["segments"][index]
    return found


def condition(document: Document) -> Document:
    found: Document = segment(document, 0)["rules"][0]["rules"][0]["conditions"][0]
    return found


def override(document: Document) -> Document:
    found: Document = document["identity_overrides"][0]["identity_features"][0]
    return found


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        (lambda document: condition(document).update(value="free"), "beta_dashboard"),
        (lambda document: segment(document, 0)["feature_states"].clear(), "beta_dashboard"),
        (
            lambda document: segment(document, 0)["feature_states"][0].update(enabled=False),
            "beta_dashboard",
        ),
        (
            lambda document: segment(document, 1)["feature_states"][0].update(
                feature_state_value="Other"
            ),
            "banner_text",
        ),
        (
            lambda document: segment(document, 1)["feature_states"][0]["feature_segment"].update(
                priority=9
            ),
            "banner_text",
        ),
        (lambda document: document["project"]["segments"].pop(1), "banner_text"),
        (lambda document: document["identity_overrides"].clear(), "new_checkout"),
        (lambda document: override(document).update(enabled=False), "new_checkout"),
        (
            lambda document: document["identity_overrides"][0].update(identifier="bob"),
            "new_checkout",
        ),
        (
            lambda document: state(document, "button_colour")["multivariate_feature_state_values"][
                0
            ].update(percentage_allocation=10.0),
            "button_colour",
        ),
        (
            lambda document: state(document, "button_colour")["multivariate_feature_state_values"][
                0
            ]["multivariate_feature_option"].update(value="green"),
            "button_colour",
        ),
        # The buckets depend on it: all identities are assigned again.
        (lambda document: state(document, "button_colour").update(django_id=99), "button_colour"),
    ],
)
def test_what_decides_for_single_identities_is_a_change(
    edit: Callable[[Document], object], name: str
) -> None:
    changes = changes_by(edit)
    assert changes.keys() == {name}
    assert changes[name].targeting_changed
    assert changes[name].before == changes[name].after


# Only the type of a value.


def set_values(document: Document, place: str, value: object) -> None:
    """Set a value in one of the places that decide on a flag."""
    if place == "environment":
        state(document, "max_items").update(feature_state_value=value)
    elif place == "segment":
        segment(document, 1)["feature_states"][0].update(feature_state_value=value)
    elif place == "identity":
        override(document).update(feature_state_value=value)
    elif place == "variant":
        variant = state(document, "button_colour")["multivariate_feature_state_values"][0]
        variant["multivariate_feature_option"].update(value=value)
    else:
        condition(document).update(value=value)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("environment", "max_items"),
        ("segment", "banner_text"),
        ("identity", "new_checkout"),
        ("variant", "button_colour"),
        ("condition", "beta_dashboard"),
    ],
)
@pytest.mark.parametrize(("was", "now"), [(1, True), (0, False), (1, 1.0), (True, 1.0)])
def test_a_change_of_type_alone_is_a_change(
    place: str, name: str, was: object, now: object
) -> None:
    before, after = recorded.environment_document(), recorded.environment_document()
    set_values(before, place, was)
    set_values(after, place, now)
    held = snapshot(before)
    changes = diff(held, snapshot_of_document(after, 5.0, 7.0, held))
    assert changes.keys() == {name}
    assert changes[name].targeting_changed is (place != "environment")


# Places in a list.


def with_lists(document: Document) -> Document:
    """The document with two overrides, two variants and two segments for one feature."""
    other = copy.deepcopy(document["identity_overrides"][0])
    other["identifier"] = "bob"
    state_of_bob = copy.deepcopy(other["identity_features"][0])
    state_of_bob["feature"] = {"id": 2, "name": "banner_text"}
    other["identity_features"].append(state_of_bob)
    document["identity_overrides"].append(other)
    second = copy.deepcopy(segment(document, 1)["feature_states"][0])
    second["feature_segment"] = {"priority": 7}
    segment(document, 0)["feature_states"].append(second)
    return document


@pytest.mark.parametrize(
    "edit",
    [
        lambda document: document["identity_overrides"].reverse(),
        lambda document: document["identity_overrides"][1]["identity_features"].reverse(),
        lambda document: document["project"]["segments"].reverse(),
        lambda document: segment(document, 0)["feature_states"].reverse(),
        lambda document: state(document, "button_colour")[
            "multivariate_feature_state_values"
        ].reverse(),
        lambda document: document["identity_overrides"][0].update(identity_uuid="another"),
        lambda document: override(document).update(new="member"),
    ],
    ids=["identities", "overrides", "segments", "states", "variants", "uuid", "new member"],
)
def test_a_place_that_decides_nothing_is_no_change(edit: Callable[[Document], object]) -> None:
    before, after = (with_lists(recorded.environment_document()) for _ in range(2))
    edit(after)
    assert after != before
    assert diff(snapshot(before), snapshot(after)) == {}


def test_the_first_of_two_segments_with_the_same_priority_decides() -> None:
    before, after = (with_lists(recorded.environment_document()) for _ in range(2))
    for document in (before, after):
        for number in (0, 1):
            for found in segment(document, number)["feature_states"]:
                found["feature_segment"] = {"priority": 1}
    after["project"]["segments"].reverse()
    assert diff(snapshot(before), snapshot(after)).keys() == {"banner_text"}


def test_an_override_that_becomes_malformed_is_a_change() -> None:
    def edit(document: Document) -> None:
        document["identity_overrides"][0]["identity_features"] = [5]

    changes = changes_by(edit)
    assert changes.keys() == {"new_checkout"}
    assert changes["new_checkout"].targeting_changed


@pytest.mark.parametrize(
    "edit",
    [
        lambda document: segment(document, 0).update(name="other name"),
        lambda document: segment(document, 0)["feature_states"][0].update(django_id=99),
        lambda document: state(document, "max_items").update(django_id=99),
        lambda document: document["project"].update(name="Other"),
    ],
)
def test_what_decides_nothing_is_no_change(edit: Callable[[Document], object]) -> None:
    assert changes_by(edit) == {}


def test_a_split_without_a_uuid() -> None:
    def edit(document: Document) -> None:
        del state(document, "button_colour")["featurestate_uuid"]

    assert changes_by(edit).keys() <= {"button_colour"}


def test_in_remote_evaluation_only_the_environments_flags_are_compared() -> None:
    answer = recorded.flags()
    answer[0]["enabled"] = not answer[0]["enabled"]
    before = snapshot_of_answer(recorded.flags(), 5.0, 7.0, "key")
    changes = diff(before, snapshot_of_answer(answer, 6.0, 8.0, "key"))
    assert changes.keys() == {answer[0]["feature"]["name"]}
    assert not changes[answer[0]["feature"]["name"]].targeting_changed


def test_changes_cannot_be_altered_by_a_receiver() -> None:
    changes = diff(None, snapshot(recorded.environment_document()))
    with pytest.raises(TypeError):
        del changes["pricing"]  # type: ignore[attr-defined]
