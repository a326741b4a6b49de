"""Decoding: which answers are refused, and that all others can be evaluated."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flagsmith import Flagsmith
from flagsmith.api.types import FeatureStateModel, IdentityModel, SegmentModel
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flask_flagsmith_realtime.exceptions import InvalidDocumentError
from flask_flagsmith_realtime.model.changes import diff
from flask_flagsmith_realtime.model.decoding import json_text
from flask_flagsmith_realtime.model.document import (
    decode_flags,
    decode_identity,
    document_of,
    first_page,
    further_page,
)
from tests.support import recorded
from tests.support.snapshots import snapshot_of_answer, snapshot_of_document

Document = dict[str, Any]


@pytest.fixture
def document() -> Document:
    return recorded.environment_document()


def check(document: Document) -> None:
    """Decode a document as it comes from the API."""
    document_of([first_page(json.dumps(document).encode())])


def test_recorded_answers_pass(document: Document) -> None:
    check(document)
    assert len(decode_flags(json.dumps(recorded.flags()).encode())) == 6
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
    check(document)


def test_what_flagsmith_may_add_is_let_through(document: Document) -> None:
    document["new"] = document["project"]["new"] = {"deep": [None]}
    document["feature_states"][0]["feature"]["new"] = [1]
    check(document)


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
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
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
        check(document)
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
    check(document)
    del container[member]
    with pytest.raises(InvalidDocumentError, match="Object missing required field"):
        check(document)


@pytest.mark.parametrize("answer", [None, {}, "x", [None], [{}], [{"feature": {"id": 1}}]])
def test_lists_of_flags_that_are_refused(answer: object) -> None:
    with pytest.raises(InvalidDocumentError):
        decode_flags(json.dumps(answer).encode())


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


# Conditions that the SDK could not evaluate.

CONDITION = "project/segments/0/rules/0/rules/0/conditions/0"


def refusal_of(document: Document, **condition: Any) -> str | None:
    container, member = at(CONDITION)(document)
    container[member] = {"property_": "plan", **condition}
    try:
        check(document)
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
        ("MODULO", 5),
        ("IN", "[" * 100_000),
        ("IN", None),
        ("IN", 5),
        ("PERCENTAGE_SPLIT", None),
        ("PERCENTAGE_SPLIT", []),
        ("EQUAL", 10**400),
    ],
)
def test_conditions_that_would_fail_in_a_request_are_refused(
    document: Document, operator: str, value: object
) -> None:
    reason = refusal_of(document, operator=operator, value=value)
    assert reason is not None
    assert reason.startswith("$.project.segments[0].rules[0].rules[0].conditions[0]: ")
    assert "the value" in reason


@pytest.mark.parametrize("path", ["$.identity[?nothing(@)]", "$.traits[99999999999999999999]"])
def test_jsonpaths_that_would_fail_in_a_request_are_refused(document: Document, path: str) -> None:
    reason = refusal_of(document, property_=path, operator="EQUAL", value="x")
    assert reason is not None
    assert "conditions[0]: property_ is not a JSONPath: " in reason


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
        {"operator": "PERCENTAGE_SPLIT", "value": 12.5, "property_": None},
        {"operator": "EQUAL", "value": 5},
        {"operator": "EQUAL", "value": True},
        {"operator": "GREATER_THAN", "value": 1.5},
        {"operator": "CONTAINS", "value": ["x"]},
        {"operator": "REGEX", "value": 5},
        {"operator": "MODULO", "value": 0},
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
    with pytest.raises(InvalidDocumentError, match="the rules are nested too deeply"):
        check(document)


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
    assert snapshot.evaluation is not None
    for identifier, traits in IDENTITIES:
        identity = snapshot.evaluation.identity(identifier, traits)
        overrides = {}
        with contextlib.suppress(InvalidDocumentError):
            overrides = snapshot.evaluation.evaluate_overrides(identity)
        snapshot.evaluation.evaluate_all(identity, overrides)
        snapshot.evaluation.evaluate_segments(identity, overrides)


def evaluates_or_is_refused(document: Document) -> bool:
    try:
        check(document)
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
@pytest.mark.filterwarnings("ignore:Possible (nested set|set):FutureWarning")
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
    with contextlib.suppress(InvalidDocumentError):
        snapshot_of_answer(answer["flags"], 1.0, 2.0, "key")


# The types that the SDK publishes for an environment document.

st.register_type_strategy(object, st.none())


def evaluates_in_the_sdk(document: Document) -> bool:
    class Handler:
        def get_environment(self) -> Any:
            return document

    handler: Any = Handler()
    try:
        client = Flagsmith(offline_mode=True, offline_handler=handler)
        for identifier, traits in IDENTITIES:
            client.get_identity_flags(identifier, traits).all_flags()
    except Exception:
        return False
    return True


def plain(condition: Document) -> Document:
    """A condition whose value is no expression: an invalid one is refused, be it reached or not."""
    value = "".join(filter(str.isalnum, condition["value"]))
    return {**condition, "value": value, "property_": condition["property_"].lstrip("$")}


def with_plain_conditions(rules: list[Document]) -> list[Document]:
    return [
        {
            **rule,
            "conditions": [plain(condition) for condition in rule["conditions"]],
            "rules": with_plain_conditions(rule["rules"]),
        }
        for rule in rules
    ]


@pytest.mark.slow
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    st.fixed_dictionaries(
        {
            "api_key": st.text(min_size=1),
            "name": st.text(),
            "feature_states": st.lists(st.from_type(FeatureStateModel), max_size=3),
            "identity_overrides": st.lists(st.from_type(IdentityModel), max_size=2),
            "project": st.fixed_dictionaries(
                {"segments": st.lists(st.from_type(SegmentModel), max_size=2)}
            ),
        }
    )
)
def test_documents_of_the_sdks_types_are_accepted(document: Any) -> None:
    for segment in document["project"]["segments"]:
        segment["rules"] = with_plain_conditions(segment["rules"])
    text = json.dumps(document)
    assume("NaN" not in text)
    assume("Infinity" not in text)
    if evaluates_in_the_sdk(document):
        check(document)
