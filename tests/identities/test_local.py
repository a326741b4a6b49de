"""Local evaluation against the official SDK, over documents and identities that hypothesis makes.

The SDK evaluates all flags at once, in its offline mode; this package evaluates one at a time, and
only what is targeted, and keeps it. The results must agree, except where the SDK differs from the
server: see test_evaluation.py.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from flagsmith import Flagsmith
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_flagsmith_realtime import Flag, Identity
from flask_flagsmith_realtime.identities.local import LocalIdentities
from flask_flagsmith_realtime.logs import OncePerCause, SafeLogger
from tests.support.snapshots import snapshot_of_document

# The SDK compares versions with text, in a way that its library for versions will give up.
pytestmark = pytest.mark.filterwarnings("ignore:.*comparisons between Version.*:DeprecationWarning")

OVERRIDDEN = "TARGETING_MATCH; segment=identity_overrides"
FEATURES = ("checkout", "banner", "colour", "limit", "beta")
TRAITS = ("plan", "age", "version", "$.plan")
WORDS = ("pro", "free", "", "a,b", "Pro", "ä", "true", "False", "1", "37", "-2", "1.5", "2.0.1")
VERSIONS = ("1.2.3:semver", "2.0.1:semver", "2.0.1-rc.1:semver", "x:semver")
IDENTIFIERS = tuple(f"identity {number}" for number in range(20))

values = st.one_of(st.none(), st.sampled_from(WORDS), st.integers(-5, 50), st.booleans())
traits = st.dictionaries(
    st.sampled_from(TRAITS),
    st.one_of(
        st.none(),
        st.sampled_from((*WORDS, "1.2.3", "2.0.1")),
        st.integers(-50, 50),
        st.floats(-50, 50),
        st.booleans(),
    ),
)
identities = st.builds(Identity, st.sampled_from(IDENTIFIERS), traits)

comparisons = st.fixed_dictionaries(
    {
        "operator": st.sampled_from(
            (
                "EQUAL",
                "NOT_EQUAL",
                "GREATER_THAN",
                "GREATER_THAN_INCLUSIVE",
                "LESS_THAN",
                "LESS_THAN_INCLUSIVE",
                "CONTAINS",
                "NOT_CONTAINS",
                "UNKNOWN_OPERATOR",
            )
        ),
        "value": st.sampled_from((*WORDS, *VERSIONS)),
    }
)
others = st.one_of(
    st.fixed_dictionaries(
        {"operator": st.just("REGEX"), "value": st.sampled_from(("p.*", "^[0-9]+$", "", "[ä-ü]"))}
    ),
    st.fixed_dictionaries(
        {"operator": st.just("MODULO"), "value": st.sampled_from(("2|0", "3|1", "2.5|0", "x", "|"))}
    ),
    st.fixed_dictionaries(
        {
            "operator": st.just("IN"),
            "value": st.sampled_from(("pro,free", '["pro", 37]', "[pro", ["pro", 1], "", [])),
        }
    ),
    st.fixed_dictionaries(
        {"operator": st.sampled_from(("IS_SET", "IS_NOT_SET")), "value": st.none()}
    ),
    st.fixed_dictionaries(
        {
            "operator": st.just("PERCENTAGE_SPLIT"),
            "value": st.sampled_from(("0", "25", "50", "99.9", "100", "half")),
        }
    ),
)
properties = st.sampled_from(
    (
        *TRAITS,
        None,
        "$.identity.identifier",
        "$.identity.key",
        "$.identity.traits.plan",
        "$.environment.name",
    )
)
conditions = st.builds(
    lambda condition, name: {**condition, "property_": name},
    st.one_of(comparisons, others),
    properties,
)
conditions_on_features = st.builds(
    lambda condition, name: {**condition, "property_": name},
    comparisons,
    st.sampled_from(("$.flags.checkout.enabled", "$.flags.banner.value", "$.flags.colour.variant")),
)


def rules_of(conditions: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    kinds = st.sampled_from(("ALL", "ANY", "NONE"))
    some = st.lists(conditions, max_size=3)
    flat = st.fixed_dictionaries({"type": kinds, "conditions": some, "rules": st.just([])})
    rule = st.recursive(
        flat,
        lambda inner: st.fixed_dictionaries(
            {"type": kinds, "conditions": some, "rules": st.lists(inner, max_size=2)}
        ),
        max_leaves=4,
    )
    return st.lists(rule, max_size=2)


variants = st.lists(
    st.builds(
        lambda value, key, weight, number: {
            "multivariate_feature_option": {"value": value, "key": key},
            "percentage_allocation": weight,
            "id": number,
        },
        values,
        st.sampled_from((None, "first", "second")),
        st.sampled_from((0.0, 10.0, 33.3, 50.0, 100.0)),
        st.integers(1, 9),
    ),
    max_size=3,
)


def states_of(names: tuple[str, ...], kind: str) -> st.SearchStrategy[list[Any]]:
    """Feature states for some of these features."""

    def state(name: str, enabled: bool, value: Any, split: Any, priority: int) -> dict[str, Any]:
        number = FEATURES.index(name) + 1
        return {
            "feature": {"id": number, "name": name, "type": "STANDARD"},
            "enabled": enabled,
            "feature_state_value": value,
            "django_id": None if number == 2 else number,
            "featurestate_uuid": f"0000000{number}-0000-4000-8000-000000000000",
            "feature_segment": {"priority": priority} if kind == "segment" else None,
            "multivariate_feature_state_values": [] if kind == "identity" else split,
        }

    return st.lists(st.sampled_from(names), unique=True, max_size=3).flatmap(
        lambda chosen: st.tuples(
            *(
                st.builds(state, st.just(name), st.booleans(), values, variants, st.integers(0, 3))
                for name in (FEATURES if kind == "environment" else chosen)
            )
        ).map(list)
    )


def documents(conditions: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    segments = st.lists(
        st.fixed_dictionaries(
            {
                "name": st.sampled_from(("everybody", "beta users", "identity_overrides")),
                "rules": rules_of(conditions),
                "feature_states": states_of(FEATURES, "segment"),
            }
        ),
        max_size=4,
    ).map(lambda made: [{**segment, "id": number} for number, segment in enumerate(made, 1)])
    overrides = st.lists(
        st.fixed_dictionaries(
            {
                "identifier": st.sampled_from(IDENTIFIERS[:4]),
                "identity_features": states_of(FEATURES, "identity"),
            }
        ),
        max_size=3,
        unique_by=lambda override: override["identifier"],
    )
    return st.builds(
        lambda states, segments, overrides: {
            "api_key": "ENVIRONMENT_ID",
            "name": "Production",
            "project": {"segments": segments},
            "feature_states": states,
            "identity_overrides": overrides,
        },
        states_of(FEATURES, "environment"),
        segments,
        overrides,
    )


class Document:
    """A document as the SDK's offline mode asks for it."""

    def __init__(self, document: Any) -> None:
        self._document = document

    def get_environment(self) -> Any:
        return self._document


class NoFailures(OncePerCause):
    """Fails the test if an identity cannot be evaluated."""

    def __init__(self) -> None:
        super().__init__(SafeLogger(logging.getLogger(__name__)), "evaluation", "")

    def problem(self, message: str) -> None:
        raise AssertionError(message)


def evaluated_by_the_sdk(document: dict[str, Any], identity: Identity) -> Flagsmith:
    """The SDK with an identity's own overrides alone: those of different ones can collide in it."""
    own = [o for o in document["identity_overrides"] if o["identifier"] == identity.identifier]
    handler: Any = Document({**document, "identity_overrides": own})
    return Flagsmith(offline_mode=True, offline_handler=handler)


def agree(document: dict[str, Any], asking: list[Identity], names: list[str]) -> None:
    """Compare the results for some identities, reading features in any order."""
    splits = {
        state["feature"]["name"]
        for state in document["feature_states"]
        if state["multivariate_feature_state_values"]
    }
    ours = LocalIdentities(snapshot_of_document(document, None, time.time()), NoFailures())
    for identity in asking:
        traits = dict(identity.traits)
        sdk = evaluated_by_the_sdk(document, identity)
        expected = {
            flag.feature_name: flag
            for flag in sdk.get_identity_flags(identity.identifier, traits).all_flags()
        }
        given = ours.flags_of(identity)
        for name in (*names, *FEATURES):
            flag, wanted = given[name], expected[name]
            reason, variant = wanted.reason or "", wanted.variant
            if flag.reason == OVERRIDDEN and "CIRCULAR" in reason:
                # The SDK says so of each feature that takes part, also where an override decides.
                reason = OVERRIDDEN
            if variant is None and name in splits and reason.startswith("TARGETING_MATCH"):
                variant = "control"
            assert flag == Flag(name, wanted.enabled, wanted.value, wanted.feature_id, variant)
            assert flag.reason == reason
            assert given.get(name) is flag
        assert list(given) == list(FEATURES)
        segments = sdk.get_identity_segments(identity.identifier, traits)
        assert ours.segments_of(identity) == tuple(segment.name for segment in segments)


reading = st.lists(st.sampled_from(FEATURES), max_size=3)
asking = st.lists(identities, min_size=1, max_size=6)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(documents(conditions), asking, reading)
def test_agrees_with_the_sdk(
    document: dict[str, Any], asking: list[Identity], names: list[str]
) -> None:
    agree(document, asking, names)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(documents(st.one_of(conditions, conditions_on_features)), asking, reading)
def test_agrees_where_one_feature_depends_on_another(
    document: dict[str, Any], asking: list[Identity], names: list[str]
) -> None:
    agree(document, asking, names)
