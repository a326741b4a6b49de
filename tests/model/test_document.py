"""Decoding: which answers are refused, and how the error names the wrong member."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from flask_flagsmith_realtime.exceptions import InvalidDocumentError
from flask_flagsmith_realtime.model import snapshot_of_flags
from flask_flagsmith_realtime.model.decoding import json_text
from flask_flagsmith_realtime.model.document import (
    decode_identity,
    document_of,
    first_page,
    further_page,
)
from tests.support import recorded
from tests.support.snapshots import decode_document, snapshot_of_answer

Document = dict[str, Any]


@pytest.fixture
def document() -> Document:
    return recorded.environment_document()


def test_recorded_answers_pass(document: Document) -> None:
    decode_document(document)
    assert len(snapshot_of_answer(recorded.flags(), 1.0, 2.0, "key").flags) == 6
    identity = recorded.exchange("identity with traits")["response"]["body"]
    assert len(decode_identity(json.dumps(identity).encode())) == 6


def test_what_flagsmith_may_leave_out_may_be_left_out(document: Document) -> None:
    del document["identity_overrides"], document["updated_at"]
    for state in document["feature_states"]:
        del state["feature_segment"]
        state["multivariate_feature_state_values"] = None
        del state["django_id"]
    for segment in document["project"]["segments"]:
        del segment["feature_states"], segment["rules"][0]["conditions"]
    decode_document(document)


def test_what_flagsmith_may_add_is_let_through(document: Document) -> None:
    document["new"] = document["project"]["new"] = {"deep": [None]}
    document["feature_states"][0]["feature"]["new"] = [1]
    decode_document(document)


# JSON.


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "it is not JSON"),
        (b"<html>", "it is not JSON"),
        (b'{"a": 1', "it is not JSON"),
        (b'{"identity_overrides": null} x', "missing required field"),
        (b'{"a": NaN}', "it is not JSON"),
        (b'{"a": -Infinity}', "it is not JSON"),
        (b'{"name": 1e999}', r"\$.name: Number out of range"),
        (b'{"a": "\xff"}', "it is not JSON"),
        (b'{"a": "\xed\xa0\x80"}', "it is not JSON"),
        (rb'{"a": "\ud800"}', "it is not JSON"),
        (rb'{"a": "\ud800 "}', "it is not JSON"),
        (rb'{"\uDC00": 1}', "it is not JSON"),
        (b'{"a": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}", "nested too deeply"),
        (b"\xff\xfe{\x00}\x00", "it is not JSON"),
    ],
)
def test_bodies_that_are_refused(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidDocumentError, match=reason):
        first_page(body)


def test_a_byte_order_mark_is_removed(document: Document) -> None:
    body = json.dumps({**document, "name": "ä 😀"}, ensure_ascii=False).encode()
    page = first_page(b"\xef\xbb\xbf" + body)
    assert page.body == body
    assert document_of([page]).name == "ä 😀"


def test_utf_8_is_checked_to_the_end_of_a_large_body() -> None:
    # The pieces of 64 KiB begin within characters.
    body = b'{"a":"' + 100_000 * "😀".encode() + b'"}'
    assert json_text(body) is body
    for broken in (body[:-3], body + b"\xff"):
        with pytest.raises(InvalidDocumentError, match="it is not JSON"):
            json_text(broken)


def test_escapes_are_read(document: Document) -> None:
    body = json.dumps({**document, "name": "NAME"}).encode()
    page = first_page(body.replace(b"NAME", rb"\ud83d\ude00 \\ud800 \u00e4"))
    assert document_of([page]).name == "😀 \\ud800 ä"
    assert json_text(body) is body


# Members that are wrong are named.


def at(path: str) -> Callable[[Document], tuple[Any, Any]]:
    """The container of a member, and its name or index in it."""
    steps = [int(step) if step.isdigit() else step for step in path.split("/")]

    def find(document: Document) -> tuple[Any, Any]:
        container: Any = document
        for step in steps[:-1]:
            container = container[step]
        return container, steps[-1]

    return find


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("api_key", None, "$.api_key: Expected `str`, got `null`"),
        ("api_key", "", "$.api_key: Expected `str` of length >= 1"),
        ("name", 5, "$.name: Expected `str`, got `int`"),
        ("project", [], "$.project: Expected `object`, got `array`"),
        ("project/segments", {}, "$.project.segments: Expected `array`, got `object`"),
        ("feature_states", None, "$.feature_states: Expected `array`, got `null`"),
        ("feature_states/0", None, "$.feature_states[0]: Expected `object`, got `null`"),
        ("feature_states/1/enabled", "yes", "$.feature_states[1].enabled: Expected `bool`"),
        ("feature_states/1/feature/id", True, "$.feature_states[1].feature.id: Expected `int`"),
        ("feature_states/1/feature/name", None, "$.feature_states[1].feature.name: Expected `str`"),
        (
            "feature_states/0/feature_state_value",
            {},
            "$.feature_states[0].feature_state_value: Expected `bool | int | float | str | null`",
        ),
        ("feature_states/0/django_id", "x", "$.feature_states[0].django_id: Expected `int | null`"),
        (
            "feature_states/3/multivariate_feature_state_values/1/percentage_allocation",
            "30",
            "$.feature_states[3].multivariate_feature_state_values[1].percentage_allocation: "
            "Expected `float`, got `str`",
        ),
        (
            "feature_states/3/multivariate_feature_state_values/1/percentage_allocation",
            10**400,
            "percentage_allocation: Number out of range",
        ),
        (
            "feature_states/3/multivariate_feature_state_values/1/id",
            "x",
            "$.feature_states[3].multivariate_feature_state_values[1].id: Expected `int | null`",
        ),
        (
            "feature_states/3/multivariate_feature_state_values/1",
            {
                "multivariate_feature_option": {"value": "x"},
                "percentage_allocation": 30,
                "mv_fs_value_uuid": "x",
            },
            "$.feature_states[3].multivariate_feature_state_values[1]: badly formed hexadecimal "
            "UUID string",
        ),
        (
            "feature_states/0",
            {"feature": {"id": 1, "name": "x"}, "enabled": True, "feature_state_value": None},
            "$.feature_states[0]: Object missing required field `featurestate_uuid`",
        ),
        (
            "feature_states/0/feature_segment",
            {},
            "feature_segment: Object missing required field `priority`",
        ),
        ("project/segments/0/id", "1", "$.project.segments[0].id: Expected `int`, got `str`"),
        ("project/segments/0/rules/0/type", "SOME", "$.project.segments[0].rules[0].type: Invalid"),
        ("project/segments/0/rules/0/type", [], "$.project.segments[0].rules[0].type: Expected"),
        (
            "project/segments/0/rules/0/rules/0/conditions/0/value",
            {},
            "$.project.segments[0].rules[0].rules[0].conditions[0].value: Expected",
        ),
        ("identity_overrides", {}, "$.identity_overrides: Expected `array | null`"),
        ("identity_overrides/0/identifier", None, "$.identity_overrides[0].identifier: Expected"),
        (
            "identity_overrides/0",
            {"identifier": "x"},
            "$.identity_overrides[0]: Object missing required field `identity_features`",
        ),
    ],
)
def test_the_wrong_member_is_named(
    document: Document, path: str, value: object, reason: str
) -> None:
    container, member = at(path)(document)
    container[member] = value
    with pytest.raises(InvalidDocumentError) as refused:
        decode_document(document)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    "path",
    [
        "feature_states/0/feature_state_value",
        "feature_states/3/multivariate_feature_state_values/0/multivariate_feature_option/value",
        "project/segments/0/rules/0/rules/0/conditions/0/value",
    ],
)
def test_null_is_a_value_but_nothing_is_none(document: Document, path: str) -> None:
    container, member = at(path)(document)
    container[member] = None
    decode_document(document)
    del container[member]
    with pytest.raises(InvalidDocumentError, match="Object missing required field"):
        decode_document(document)


@pytest.mark.parametrize("answer", [None, {}, "x", [None], [{}], [{"feature": {"id": 1}}]])
def test_lists_of_flags_that_are_refused(answer: object) -> None:
    with pytest.raises(InvalidDocumentError):
        snapshot_of_flags(json.dumps(answer).encode(), 1.0, 2.0, "key")


@pytest.mark.parametrize("page", [None, [], {}, {"identity_overrides": None}])
def test_further_pages_that_are_refused(page: object) -> None:
    with pytest.raises(InvalidDocumentError, match=r"^\$"):
        further_page(json.dumps(page).encode())


def test_the_overrides_of_all_pages_count(document: Document) -> None:
    (override,) = document["identity_overrides"]
    later = {"identity_overrides": [{**override, "identifier": "bob"}], "updated_at": "later"}
    page = further_page(json.dumps(later).encode())
    whole = document_of([first_page(json.dumps(document).encode()), page])
    assert page.updated_at == "later"
    assert whole.overrides_of("bob") == whole.overrides_of("alice@example.com") != ()
    assert whole.overrides_of("carol") == ()


def test_a_malformed_override_spoils_one_identity(document: Document) -> None:
    (override,) = document["identity_overrides"]
    document["identity_overrides"] = [override, {"identifier": "bob", "identity_features": [5]}]
    decoded = document_of([first_page(json.dumps(document).encode())])
    assert decoded.overrides_of("alice@example.com")
    with pytest.raises(InvalidDocumentError, match=r"^\$\[0\]: Expected `object`, got `int`"):
        decoded.overrides_of("bob")
    assert decoded.overridden_features() == {"new_checkout"}


# Rules.


@pytest.mark.parametrize("pattern", ["[", "(?<name>x)", "x{99999999999999999999}"])
def test_a_pattern_that_is_no_regular_expression_is_refused(
    document: Document, pattern: str
) -> None:
    container, member = at("project/segments/0/rules/0/rules/0/conditions/0")(document)
    container[member] = {"property_": "plan", "operator": "REGEX", "value": pattern}
    where = r"^\$\.project\.segments\[0\]\.rules\[0\]\.rules\[0\]\.conditions\[0\]: not a regular"
    with pytest.raises(InvalidDocumentError, match=where):
        decode_document(document)


def test_rules_nested_without_end_are_refused(document: Document) -> None:
    rule = document["project"]["segments"][0]["rules"][0]
    for _ in range(400):
        rule = {"type": "ALL", "rules": [rule], "conditions": []}
    document["project"]["segments"][0]["rules"] = [rule]
    with pytest.raises(InvalidDocumentError, match="the rules are nested too deeply"):
        decode_document(document)
