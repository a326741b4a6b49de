"""Which answers are let through, and that what is let through can be evaluated."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_flagsmith_realtime.exceptions import InvalidDocumentError
from flask_flagsmith_realtime.model.changes import diff
from flask_flagsmith_realtime.model.document import (
    check_environment_document,
    check_flags,
    check_identity_overrides,
    parse_json,
)
from flask_flagsmith_realtime.model.snapshot import snapshot_of_document, snapshot_of_flags
from tests.support import recorded

Document = dict[str, Any]


@pytest.fixture
def document() -> Document:
    return recorded.environment_document()


def test_recorded_answers_pass(document: Document) -> None:
    assert check_environment_document(document) is document
    assert check_identity_overrides(document["identity_overrides"])
    assert len(check_flags(recorded.flags())) == 6


def test_what_flagsmith_may_leave_out_may_be_left_out(document: Document) -> None:
    del document["identity_overrides"], document["updated_at"]
    for state in document["feature_states"]:
        del state["feature_segment"]
        state["multivariate_feature_state_values"] = None
        del state["django_id"]
    for segment in document["project"]["segments"]:
        del segment["feature_states"], segment["rules"][0]["conditions"]
    check_environment_document(document)


def test_what_flagsmith_may_add_is_let_through(document: Document) -> None:
    document["new"] = document["project"]["new"] = {"deep": [None]}
    document["feature_states"][0]["feature"]["new"] = [1]
    check_environment_document(document)


# Parsing.


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "it is not JSON"),
        (b"<html>", "it is not JSON"),
        (b'{"a": 1', "it is not JSON"),
        (b'{"a": 1} x', "it is not JSON"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": -Infinity}', "-Infinity is not a number"),
        (b'{"a": 1e999}', "1e999 is not a number"),
        (b'{"a": "\xff"}', "it is not JSON"),
        (b'{"a": "\xed\xa0\x80"}', "it is not JSON"),
        (rb'{"a": "\ud800"}', "it is not JSON"),
        (rb'{"\uDC00": 1}', "it is not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b"\xff\xfe{\x00}\x00", "it is not JSON"),
    ],
)
def test_bodies_that_are_refused(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidDocumentError, match=reason):
        parse_json(body)


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (b"{}", {}),
        (b'\xef\xbb\xbf{"a": "\xc3\xa4"}', {"a": "ä"}),
        (rb'{"a": "\ud83d\ude00 \\ud800 \u00e4"}', {"a": "😀 \\ud800 ä"}),
        ('{"a": 1.5e3}', {"a": 1500.0}),
    ],
)
def test_bodies_that_are_read(body: bytes | str, content: object) -> None:
    assert parse_json(body) == content


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
        ("api_key", None, "api_key should be text, but is missing or null"),
        ("api_key", "", "api_key should be text, but is empty"),
        ("name", 5, "name should be text, but is int"),
        ("project", [], "project should be an object, but is list"),
        ("project/segments", {}, "project.segments should be a list, but is dict"),
        ("feature_states", None, "feature_states should be a list, but is missing or null"),
        ("feature_states/0", None, "feature_states[0] should be an object"),
        ("feature_states/1/enabled", "yes", "feature_states[1].enabled should be true or false"),
        ("feature_states/1/feature/id", True, "feature_states[1].feature.id should be an integer"),
        ("feature_states/1/feature/name", None, "feature_states[1].feature.name should be text"),
        ("feature_states/0/feature_state_value", {}, "should be text, a number, true, false or"),
        ("feature_states/0/django_id", "x", "feature_states[0].django_id should be an integer"),
        (
            "feature_states/3/multivariate_feature_state_values/1/percentage_allocation",
            "30",
            "feature_states[3].multivariate_feature_state_values[1].percentage_allocation should "
            "be a number, but is str",
        ),
        (
            "feature_states/3/multivariate_feature_state_values/1/percentage_allocation",
            10**400,
            "percentage_allocation is too large a number",
        ),
        (
            "feature_states/3/multivariate_feature_state_values/1/id",
            "x",
            "feature_states[3].multivariate_feature_state_values[1].id should be an integer",
        ),
        ("feature_states/0/feature_segment", {}, "feature_segment.priority should be a number"),
        ("project/segments/0/id", "1", "project.segments[0].id should be an integer"),
        (
            "project/segments/0/rules/0/type",
            "SOME",
            "type should be one of ALL, ANY, NONE",
        ),
        ("project/segments/0/rules/0/type", [], "type should be one of ALL, ANY, NONE"),
        (
            "project/segments/0/rules/0/rules/0/conditions/0/value",
            5,
            "project.segments[0].rules[0].rules[0].conditions[0].value should be text, but is int",
        ),
        (
            "identity_overrides/0/identifier",
            None,
            "identity_overrides[0].identifier should be text",
        ),
        (
            "identity_overrides/0/identity_features/0/feature",
            None,
            "identity_overrides[0].identity_features[0].feature should be an object",
        ),
    ],
)
def test_the_wrong_member_is_named(
    document: Document, path: str, value: object, reason: str
) -> None:
    container, member = at(path)(document)
    container[member] = value
    with pytest.raises(InvalidDocumentError) as refused:
        check_environment_document(document)
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
    check_environment_document(document)
    del container[member]
    with pytest.raises(InvalidDocumentError, match="should be there"):
        check_environment_document(document)


@pytest.mark.parametrize("answer", [None, {}, "x", [None], [{}], [{"feature": {"id": 1}}]])
def test_lists_of_flags_that_are_refused(answer: object) -> None:
    with pytest.raises(InvalidDocumentError):
        check_flags(answer)


# Conditions that the SDK could not evaluate.

CONDITION = "project/segments/0/rules/0/rules/0/conditions/0"


def refusal_of(document: Document, **condition: Any) -> str | None:
    container, member = at(CONDITION)(document)
    container[member] = {"property_": "plan", **condition}
    try:
        check_environment_document(document)
    except InvalidDocumentError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("REGEX", "["),
        ("REGEX", "(?<name>x)"),
        ("REGEX", "x{99999999999999999999}"),
        ("MODULO", "0|1"),
        ("MODULO", "0.0|0"),
        ("IN", "[" * 100_000),
        ("IN", None),
        ("PERCENTAGE_SPLIT", None),
    ],
)
def test_conditions_that_would_fail_in_a_request_are_refused(
    document: Document, operator: str, value: object
) -> None:
    reason = refusal_of(document, operator=operator, value=value)
    assert reason is not None
    assert "conditions[0].value" in reason


@pytest.mark.parametrize("path", ["$.identity[?nothing(@)]", "$.traits[99999999999999999999]"])
def test_jsonpaths_that_would_fail_in_a_request_are_refused(document: Document, path: str) -> None:
    reason = refusal_of(document, property_=path, operator="EQUAL", value="x")
    assert reason is not None
    assert reason.endswith("conditions[0].property_ is not a JSONPath")


@pytest.mark.parametrize(
    "condition",
    [
        {"operator": "REGEX", "value": "^[a-z]+$"},
        {"operator": "MODULO", "value": "2|0"},
        {"operator": "MODULO", "value": "never"},
        {"operator": "IN", "value": "a,b"},
        {"operator": "IN", "value": '["a", "b"]'},
        {"operator": "IN", "value": "[a"},
        {"operator": "IN", "value": ["a", 1]},
        {"operator": "IS_SET", "value": None},
        {"operator": "OF_TOMORROW", "value": "x"},
        {"operator": "EQUAL", "value": "x", "property_": "$.identity.identifier"},
        {"operator": "EQUAL", "value": "x", "property_": "$.("},
        {"operator": "PERCENTAGE_SPLIT", "value": "half", "property_": None},
    ],
)
def test_conditions_that_can_be_evaluated_pass(
    document: Document, condition: dict[str, Any]
) -> None:
    assert refusal_of(document, **condition) is None


def test_rules_nested_without_end_are_refused(document: Document) -> None:
    rule = document["project"]["segments"][0]["rules"][0]
    for _ in range(400):
        rule = {"type": "ALL", "rules": [rule], "conditions": []}
    document["project"]["segments"][0]["rules"] = [rule]
    with pytest.raises(InvalidDocumentError, match="rules are nested too deeply"):
        check_environment_document(document)


# Whatever passes can be evaluated.

IDENTITIES: list[tuple[str, dict[str, Any]]] = [
    ("alice@example.com", {}),
    ("bob", {"plan": "pro", "age": 37, "score": 1.5, "member": True, "version": "2.1.0"}),
    ("carol", {"plan": 5, "age": "x", "score": False, "member": "y", "version": 1.0}),
]


def rich_document() -> Document:
    """The recorded document with a condition of every kind."""
    document = recorded.environment_document()
    conditions = [
        ("plan", "IN", "pro,free"),
        ("plan", "IN", '["pro"]'),
        ("plan", "REGEX", "^p"),
        ("plan", "NOT_CONTAINS", "x"),
        ("plan", "CONTAINS", "r"),
        ("plan", "NOT_EQUAL", "x"),
        ("age", "MODULO", "2|1"),
        ("age", "GREATER_THAN", "18"),
        ("score", "LESS_THAN_INCLUSIVE", "1.5"),
        ("member", "EQUAL", "true"),
        ("version", "GREATER_THAN_INCLUSIVE", "2.0.0:semver"),
        ("version", "IS_SET", None),
        ("nothing", "IS_NOT_SET", ""),
        ("$.identity.identifier", "EQUAL", "bob"),
        ("$.identity.traits.age", "PERCENTAGE_SPLIT", "50"),
        ("$.flags.new_checkout.enabled", "EQUAL", "true"),
    ]
    document["project"]["segments"] += [
        {
            "id": 100 + number,
            "name": f"{operator} {number}",
            "rules": [
                {
                    "type": "ALL",
                    "rules": [],
                    "conditions": [{"property_": name, "operator": operator, "value": value}],
                }
            ],
            "feature_states": copy.deepcopy(document["feature_states"][3:4]) if not number else [],
        }
        for number, (name, operator, value) in enumerate(conditions)
    ]
    return document


def nodes(container: Any) -> Iterator[tuple[Any, Any]]:
    """All members of a document, each as its container and its name or index there."""
    pairs = container.items() if isinstance(container, dict) else enumerate(container)
    for member, value in list(pairs):
        yield container, member
        if isinstance(value, (dict, list)):
            yield from nodes(value)


RICH = json.dumps(rich_document())
NUMBER_OF_NODES = sum(1 for _ in nodes(json.loads(RICH)))

replacements = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, 10**400, "", "[", "0|0", "$.flags[*]", "$..*", ":semver", "ALL", "IN"])
    | st.sampled_from(["REGEX", "MODULO", "PERCENTAGE_SPLIT", "EQUAL", "NONE", "ANY"])
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def evaluate(document: Document) -> None:
    snapshot = snapshot_of_document(document, 1.0, 2.0)
    diff(snapshot_of_document(recorded.environment_document(), 1.0, 2.0), snapshot)
    assert snapshot.evaluator is not None
    for identifier, traits in IDENTITIES:
        snapshot.evaluator.get_identity_flags(identifier, traits).all_flags()
        snapshot.evaluator.get_identity_segments(identifier, traits)


def evaluates_or_is_refused(document: Document) -> bool:
    try:
        # As it comes from the API: this is where text that cannot be sent on is refused.
        check_environment_document(parse_json(json.dumps(document)))
    except InvalidDocumentError:
        return False
    evaluate(document)
    return True


def test_the_rich_document_passes_and_can_be_evaluated() -> None:
    assert evaluates_or_is_refused(rich_document())


@pytest.mark.slow
def test_a_document_without_any_one_member_can_be_evaluated_or_is_refused() -> None:
    """Every member in turn is left out, is null, and is of a type that is hardly its own."""
    accepted = 0
    for index in range(NUMBER_OF_NODES):
        for value in (None, ([], {}, 0, "0")[index % 4]):
            document = json.loads(RICH)
            container, member = list(nodes(document))[index]
            container[member] = value
            accepted += evaluates_or_is_refused(document)
        document = json.loads(RICH)
        container, member = list(nodes(document))[index]
        del container[member]
        accepted += evaluates_or_is_refused(document)
    assert accepted > NUMBER_OF_NODES


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, NUMBER_OF_NODES - 1), replacements), max_size=3))
def test_a_document_with_anything_replaced_can_be_evaluated_or_is_refused(
    changes: list[tuple[int, Any]],
) -> None:
    document = json.loads(RICH)
    places = list(nodes(document))
    for index, value in changes:
        container, member = places[index]
        container[member] = value
    evaluates_or_is_refused(document)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["EQUAL", "REGEX", "MODULO", "IN", "CONTAINS", "GREATER_THAN", "NOT_CONTAINS"]),
    st.text(st.sampled_from("[](){}|*+?^$.,:-0123456789ae\"'\\semvr"), max_size=12),
    st.sampled_from(["plan", "age", "score", "member", "version"]),
)
def test_any_condition_can_be_evaluated_or_is_refused(operator: str, value: str, name: str) -> None:
    document = rich_document()
    container, member = at(CONDITION)(document)
    container[member] = {"property_": name, "operator": operator, "value": value}
    evaluates_or_is_refused(document)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_list_of_flags_with_anything_replaced_can_be_used_or_is_refused(
    data: st.DataObject,
) -> None:
    answer: Any = {"flags": recorded.flags()}
    places = list(nodes(answer))
    container, member = places[data.draw(st.integers(0, len(places) - 1))]
    container[member] = data.draw(replacements)
    try:
        checked = check_flags(answer["flags"])
    except InvalidDocumentError:
        return
    snapshot_of_flags(checked, 1.0, 2.0, "key")
