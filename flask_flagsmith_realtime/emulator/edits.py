"""Edits of an environment document.

Each function changes the document that it gets, in place, and returns a sentence that says what it
did. :class:`.state.State` calls it with a copy that no other thread sees, but for the entries of
``identity_overrides``: there can be many thousands, so all versions share those that do not change.
An edit replaces an entry and never changes it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn, cast

from . import document as documents
from . import rules
from .document import Document, TraitValue, Value


class Unset:
    """The type of :data:`UNSET`."""

    def __repr__(self) -> str:
        return "UNSET"


#: Stands for an argument that is not given: ``None`` is a value.
UNSET: Final = Unset()


class EditError(ValueError):
    """A change cannot be made. The text says why."""


def set_flag(document: Document, name: str, enabled: bool | None, value: Value | Unset) -> str:
    """Sets a feature's state in the environment; an unknown feature is created, off."""
    state = documents.find_flag(document, name)
    if state is not None:
        return f"{name}: {_assign(state, enabled, value)}"
    feature = documents.new_feature(document, _name(name, "feature"))
    state = documents.new_state(document, feature)
    done = _assign(state, bool(enabled), value)
    document["feature_states"].append(state)
    return f"{name} added: {done}"


def delete_flag(document: Document, name: str) -> str:
    """Removes a feature, with its overrides."""
    _flag(document, name)
    for holder in (document, *document["project"]["segments"]):
        holder["feature_states"] = [
            state for state in holder["feature_states"] if state["feature"]["name"] != name
        ]
    for place, entry in _overriding(document, name):
        states = [state for state in entry["identity_features"] if state["feature"]["name"] != name]
        document["identity_overrides"][place] = entry | {"identity_features": states}
    _forget_empty_identities(document)
    return f"{name} removed"


def set_variants(document: Document, name: str, variants: Mapping[Any, float]) -> str:
    """Sets the variants of a feature, each with its percentage of identities; the rest get control.

    A variant whose value stays keeps its id. Without variants the feature is a standard one.
    """
    if any(not 0 <= share <= 100 for share in variants.values()) or sum(variants.values()) > 100:
        raise EditError(f"the variants of {name} must be 0 to 100 % each, and not more together")
    state = _flag(document, name)
    kept = {
        variant["multivariate_feature_option"]["value"]: variant
        for variant in state["multivariate_feature_state_values"]
    }
    state["multivariate_feature_state_values"] = []
    for value, share in variants.items():
        variant = kept.get(value)
        if variant is None:
            variant = documents.new_variant(document, value, share)
        variant["percentage_allocation"] = float(share)
        state["multivariate_feature_state_values"].append(variant)
    _set_type(document, name, "MULTIVARIATE" if variants else "STANDARD")
    return f"{name}: {', '.join(f'{v} {s:g} %' for v, s in variants.items()) or 'no variants'}"


def set_segment(
    document: Document,
    name: str,
    segment_rules: list[dict[str, Any]],
    overrides: Mapping[str, Mapping[str, Any]],
) -> str:
    """Gives a segment its rules and its overrides; an unknown segment is created.

    :param segment_rules: as in an environment document; an identity is in the segment if all match.
    :param overrides: for each feature ``{"enabled": …, "value": …}``. A member that is not given
        is copied from the environment.
    """
    segment = documents.find_segment(document, name)
    if segment is None:
        segment = documents.new_segment(document, _name(name, "segment"))
        document["project"]["segments"].append(segment)
    segment["rules"] = segment_rules
    kept = {state["feature"]["name"]: state for state in segment["feature_states"]}
    segment["feature_states"] = [kept[feature] for feature in kept if feature in overrides]
    for feature, override in overrides.items():
        override_segment(
            document, name, feature, override.get("enabled"), override.get("value", UNSET)
        )
    who = ", and ".join(rules.sentences(segment_rules)) or "no identity"
    return f"segment {name}: {who}; overrides {', '.join(overrides) or 'nothing'}"


def set_conditions(document: Document, name: str, conditions: list[dict[str, Any]]) -> str:
    """Replaces the conditions of a segment's rules, one by one, and leaves how they are nested."""
    segment = _segment(document, name)
    existing = list(rules.conditions(segment["rules"]))
    if len(existing) != len(conditions):
        raise EditError(f"segment {name} has {len(existing)} conditions, not {len(conditions)}")
    for old, new in zip(existing, conditions, strict=True):
        old.update(new)
    return f"segment {name}: {', and '.join(rules.sentences(segment['rules'])) or 'no identity'}"


def delete_segment(document: Document, name: str) -> str:
    """Removes a segment, with its overrides."""
    document["project"]["segments"].remove(_segment(document, name))
    return f"segment {name} removed"


def override_segment(
    document: Document, name: str, feature: str, enabled: bool | None, value: Value | Unset
) -> str:
    """Overrides a feature for a segment.

    Of several segments that override a feature the first one wins, as on Flagsmith: a new override
    gets the next ``priority``.
    """
    segment = _segment(document, name)
    state = documents.find_state(segment["feature_states"], feature)
    if state is None:
        state = _copy_of_flag(document, feature)
        state["feature_segment"] = {"priority": _next_priority(document, feature)}
        state |= _experiment_of(document, feature)
        segment["feature_states"].append(state)
    return f"{feature} for segment {name}: {_assign(state, enabled, value)}"


def delete_segment_override(document: Document, name: str, feature: str) -> str:
    """Removes a segment's override of a feature."""
    segment = _segment(document, name)
    _remove_state(segment["feature_states"], feature, f"segment {name}")
    return f"{feature} no longer overridden for segment {name}"


def override_identity(
    document: Document, identifier: str, feature: str, enabled: bool | None, value: Value | Unset
) -> str:
    """Overrides a feature for one identity."""
    # Without variants, the value that is set is the one that is served.
    state = _copy_of_flag(document, feature) | {"multivariate_feature_state_values": []}
    identity = _editable_identity(document, identifier)
    existing = documents.find_state(identity["identity_features"], feature)
    if existing is None:
        identity["identity_features"].append(state)
    return f"{feature} for {identifier}: {_assign(existing or state, enabled, value)}"


def delete_identity_override(document: Document, identifier: str, feature: str) -> str:
    """Removes one identity's override of a feature."""
    if documents.find_identity(document, identifier) is None:
        raise EditError(f"{identifier} has no overrides")
    identity = _editable_identity(document, identifier)
    _remove_state(identity["identity_features"], feature, identifier)
    _forget_empty_identities(document)
    return f"{feature} no longer overridden for {identifier}"


def set_traits(document: Document, identifier: str, traits: Mapping[str, TraitValue]) -> str:
    """Sets traits of an identity. ``None`` removes a trait, as on Flagsmith."""
    identity = _editable_identity(document, identifier)
    kept = {trait["trait_key"]: trait["trait_value"] for trait in identity["identity_traits"]}
    kept |= {_name(key, "trait"): value for key, value in traits.items()}
    identity["identity_traits"] = [
        {"trait_key": key, "trait_value": value} for key, value in kept.items() if value is not None
    ]
    _forget_empty_identities(document)
    return f"traits of {identifier}: {', '.join(traits)}"


def _flag(document: Document, name: str) -> dict[str, Any]:
    return documents.find_flag(document, name) or _unknown("feature", name)


def _segment(document: Document, name: str) -> dict[str, Any]:
    return documents.find_segment(document, name) or _unknown("segment", name)


def _unknown(kind: str, name: str) -> NoReturn:
    raise EditError(f"there is no {kind} named {name!r}")


def _name(name: str, kind: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise EditError(f"the {kind} needs a name")
    return name


def _editable_identity(document: Document, identifier: str) -> dict[str, Any]:
    """Replaces the entry of an identity by a copy, or adds one, and returns it."""
    entries = document["identity_overrides"]
    for place, entry in enumerate(entries):
        if entry["identifier"] == identifier:
            entries[place] = copy.deepcopy(entry)
            return cast("dict[str, Any]", entries[place])
    entries.append(documents.new_identity(document, _name(identifier, "identity")))
    return cast("dict[str, Any]", entries[-1])


def _overriding(document: Document, feature: str) -> list[tuple[int, dict[str, Any]]]:
    """Returns the entries of the identities that override a feature, with their places."""
    return [
        (place, entry)
        for place, entry in enumerate(document["identity_overrides"])
        if documents.find_state(entry["identity_features"], feature)
    ]


def _set_type(document: Document, feature: str, kind: str) -> None:
    """Sets a feature's type wherever the document repeats it."""
    if _flag(document, feature)["feature"]["type"] == kind:
        return
    for place, entry in _overriding(document, feature):
        document["identity_overrides"][place] = copy.deepcopy(entry)
    for state in documents.feature_states(document):
        if state["feature"]["name"] == feature:
            state["feature"]["type"] = kind


def _forget_empty_identities(document: Document) -> None:
    document["identity_overrides"] = [
        identity
        for identity in document["identity_overrides"]
        if identity["identity_features"] or identity["identity_traits"]
    ]


def _copy_of_flag(document: Document, name: str) -> dict[str, Any]:
    flag = _flag(document, name)
    state = documents.new_state(document, flag["feature"])
    state["enabled"] = flag["enabled"]
    state["feature_state_value"] = flag["feature_state_value"]
    return state


def _experiment_of(document: Document, feature: str) -> dict[str, Any]:
    """The metadata of a running experiment, for a further state of its feature."""
    metadata = _flag(document, feature).get("metadata")
    return {"metadata": copy.deepcopy(metadata)} if metadata else {}


def _next_priority(document: Document, feature: str) -> int:
    states = (
        documents.find_state(segment["feature_states"], feature)
        for segment in document["project"]["segments"]
    )
    return (
        max(
            (s["feature_segment"]["priority"] for s in states if s and s["feature_segment"]),
            default=-1,
        )
        + 1
    )


def _remove_state(states: list[dict[str, Any]], feature: str, whose: str) -> None:
    state = documents.find_state(states, feature)
    if state is None:
        raise EditError(f"{feature} is not overridden for {whose}")
    states.remove(state)


def _assign(state: dict[str, Any], enabled: bool | None, value: Value | Unset) -> str:
    done = []
    if enabled is not None:
        state["enabled"] = enabled
        done.append("on" if enabled else "off")
    if not isinstance(value, Unset):
        if not isinstance(value, (str, int, bool, type(None))):
            raise EditError(
                f"a value is str, int, bool or None, not {type(value).__name__}: "
                "pass json.dumps(…) of it"
            )
        state["feature_state_value"] = value
        done.append(json.dumps(value, ensure_ascii=False))
    return ", ".join(done) or "unchanged"
