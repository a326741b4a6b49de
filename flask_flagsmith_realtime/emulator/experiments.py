"""Experiments: edits of an environment document, as :mod:`.edits` makes them.

While an experiment runs, Flagsmith marks the states of its feature with ``metadata``: the state of
the rollout segment says that an identity is in the experiment, the others say that it is not. An
identity's override carries none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import document as documents
from . import edits, rules
from .document import Document
from .edits import UNSET, EditError


def set_experiment(
    document: Document, feature: str, name: str, variants: Mapping[Any, float], rollout: float
) -> str:
    """Runs an experiment on a feature; one that runs already is replaced.

    :param variants: the percentage of the experiment's identities that get each variant, by the
        variant's value; the rest get the control value.
    :param rollout: the percentage of all identities that are in the experiment.
    :raises EditError: if the feature lacks a variant, or a percentage is wrong.
    """
    flag = documents.find_flag(document, feature)
    if flag is None:
        raise EditError(f"there is no feature named {feature!r}")
    shares = _shares(flag, variants)
    if not 0 <= rollout <= 100:
        raise EditError("the rollout of an experiment is 0 to 100 %")
    number = _next_number(document)
    end_experiment(document, feature)
    _mark(document, feature, {"id": number, "name": name, "in_experiment": False})
    _add_rollout(document, flag, shares, rollout)
    return f"experiment {name} on {feature}: {rollout:g} % of identities"


def end_experiment(document: Document, feature: str) -> str:
    """Ends the experiment on a feature, if there is one."""
    segment = documents.find_segment(document, _segment_name(feature))
    if segment is not None:
        document["project"]["segments"].remove(segment)
    for state in _states(document, feature):
        state.pop("metadata", None)
    return f"experiment on {feature} ended"


def _shares(flag: Mapping[str, Any], variants: Mapping[Any, float]) -> list[dict[str, Any]]:
    """Returns the variants of the rollout's state. Results are grouped by key: each gets one."""
    if any(not 0 <= share <= 100 for share in variants.values()) or sum(variants.values()) > 100:
        raise EditError("the variants must be 0 to 100 % each, and not more together")
    known = {
        variant["multivariate_feature_option"]["value"]: variant
        for variant in flag["multivariate_feature_state_values"]
    }
    for value in variants.keys() - known.keys():
        raise EditError(f"{flag['feature']['name']} has no variant {value!r}: call set_variants")
    shares = []
    for value, variant in known.items():
        option = variant["multivariate_feature_option"]
        option["key"] = option.get("key") or str(value)
        shares.append(
            variant
            | {
                "multivariate_feature_option": dict(option),
                "percentage_allocation": float(variants.get(value, 0)),
            }
        )
    return shares


def _mark(document: Document, feature: str, experiment: dict[str, Any]) -> None:
    for state in _states(document, feature):
        state["metadata"] = {"experiment": dict(experiment)}


def _states(document: Document, feature: str) -> list[dict[str, Any]]:
    """Returns the feature's states in the environment and for segments."""
    holders = [document, *document["project"]["segments"]]
    found = (documents.find_state(holder["feature_states"], feature) for holder in holders)
    return [state for state in found if state is not None]


def _add_rollout(
    document: Document, flag: dict[str, Any], shares: list[dict[str, Any]], rollout: float
) -> None:
    """Adds the rollout segment. Its override goes before those of all other segments."""
    feature = flag["feature"]["name"]
    for state in _states(document, feature):
        if state["feature_segment"]:
            state["feature_segment"]["priority"] += 1
    name = _segment_name(feature)
    condition = {"operator": "PERCENTAGE_SPLIT", "value": f"{rollout:g}", "property_": None}
    edits.set_segment(document, name, [rules.rule_of(condition)], {})
    edits.override_segment(document, name, feature, True, UNSET)
    state = document["project"]["segments"][-1]["feature_states"][0]
    state["feature_segment"]["priority"] = 0
    state["multivariate_feature_state_values"] = shares
    state["metadata"]["experiment"]["in_experiment"] = True


def _segment_name(feature: str) -> str:
    return f"experiment_{feature}"


def _next_number(document: Document) -> int:
    states = documents.feature_states(document)
    numbers = (state["metadata"]["experiment"]["id"] for state in states if state.get("metadata"))
    return max(numbers, default=0) + 1
