"""Properties of decoding: what passes can be read, and what the SDK's types allow passes."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from flagsmith import Flagsmith
from flagsmith.api.types import FeatureStateModel, IdentityModel, SegmentModel
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flask_flagsmith_realtime import Identity
from flask_flagsmith_realtime.exceptions import InvalidDocumentError
from flask_flagsmith_realtime.identities import LocalIdentities
from flask_flagsmith_realtime.logs import OncePerCause, SafeLogger
from flask_flagsmith_realtime.model.changes import diff
from tests.support import recorded
from tests.support.snapshots import decode_document, snapshot_of_answer, snapshot_of_document

Document = dict[str, Any]


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
    failures = OncePerCause(SafeLogger(logging.getLogger(__name__)), "evaluation", "")
    identities = LocalIdentities(snapshot, failures)
    for identifier, traits in IDENTITIES:
        identity = Identity(identifier, traits)
        assert len(dict(identities.flags_of(identity))) == len(snapshot.flags)
        identities.segments_of(identity)


def evaluates_or_is_refused(document: Document) -> bool:
    try:
        decode_document(document)
    except InvalidDocumentError:
        return False
    evaluate(document)
    return True


def test_the_rich_document_passes_and_can_be_evaluated(caplog: pytest.LogCaptureFixture) -> None:
    assert evaluates_or_is_refused(rich_document())
    assert caplog.text == ""


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
@pytest.mark.filterwarnings("ignore:Possible (nested set|set):FutureWarning")
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
    rule = document["project"]["segments"][0]["rules"][0]["rules"][0]
    rule["conditions"][0] = {"property_": name, "operator": operator, "value": value}
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
    text = json.dumps(document)
    assume("NaN" not in text)
    assume("Infinity" not in text)
    if evaluates_in_the_sdk(document):
        try:
            decode_document(document)
        except InvalidDocumentError as error:
            # The SDK compiles a pattern only when it has to match it.
            if "not a regular expression" not in str(error):
                raise
