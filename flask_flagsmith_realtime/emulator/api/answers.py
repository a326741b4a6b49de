"""The bodies of the API's answers, made from an environment.

Pure functions. The recordings of a real server's answers (``tests/recordings``) define what a body
looks like.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..document import TraitValue, Value
from ..environment import Environment, Served

#: An environment document does not hold when a feature was created.
CREATED_DATE = "2024-01-01T00:00:00.000000Z"


def flags(environment: Environment, *, with_server_key_only: bool) -> list[dict[str, Any]]:
    """Returns the environment's flags.

    :param with_server_key_only: include those that only server-side keys get.
    """
    return [
        _flag(environment, state, state["feature_state_value"], identity=None)
        for state in visible_states(environment, with_server_key_only=with_server_key_only)
    ]


def visible_states(
    environment: Environment, *, with_server_key_only: bool
) -> Iterator[dict[str, Any]]:
    """Yields the environment's feature states that a key gets."""
    for state in environment.document["feature_states"]:
        if _is_visible(environment, state, with_server_key_only):
            yield state


def identity(
    environment: Environment,
    identifier: str,
    traits: list[dict[str, Any]],
    served: Sequence[Served],
    *,
    with_server_key_only: bool,
) -> dict[str, Any]:
    """Returns one identity's traits and flags.

    :param traits: as :func:`stored_traits` and :func:`with_transient_traits` return them.
    :param served: what the identity was evaluated to.
    """
    identity_id = environment.identities.get(identifier, {}).get("django_id")
    overrides = environment.overrides(identifier)
    return {
        "identifier": identifier,
        "traits": traits,
        "flags": [
            _flag(
                environment,
                flag.state,
                flag.value,
                identity=identity_id if flag.state in overrides else None,
            )
            | {"variant": flag.variant}
            | _metadata(flag.state)
            for flag in served
            if _is_visible(environment, flag.state, with_server_key_only)
        ],
    }


def stored_traits(environment: Environment, identifier: str) -> list[dict[str, Any]]:
    """Returns an identity's stored traits, with their ids."""
    entry = environment.identities.get(identifier)
    if entry is None:
        return []
    first = environment.first_trait_ids[identifier]
    return [
        {"id": number, **trait, "transient": False}
        for number, trait in enumerate(entry["identity_traits"], start=first)
    ]


def with_transient_traits(
    stored: list[dict[str, Any]], transient: Mapping[str, TraitValue]
) -> list[dict[str, Any]]:
    """Returns stored traits, with those of one call in place of them and after them."""
    return [trait for trait in stored if trait["trait_key"] not in transient] + [
        {"id": None, "trait_key": key, "trait_value": value, "transient": True}
        for key, value in transient.items()
        if value is not None
    ]


def generated_identifier(traits: Mapping[str, TraitValue]) -> str:
    """Makes the identifier of a call without one as Flagsmith does: the same for equal traits."""
    if not traits:
        return uuid.uuid4().hex
    text = "".join(f"{key}{traits[key]}" for key in sorted(traits))
    return hashlib.sha256(text.encode()).hexdigest()


def _flag(
    environment: Environment, state: Mapping[str, Any], value: Value, identity: int | None
) -> dict[str, Any]:
    return {
        "id": state.get("django_id"),
        "feature": _feature(environment, state["feature"]),
        "feature_state_value": value,
        "environment": environment.document.get("id"),
        "identity": identity,
        "feature_segment": environment.segment_of(state),
        "enabled": state["enabled"],
    }


def _metadata(state: Mapping[str, Any]) -> dict[str, Any]:
    """The running experiment of a feature, if there is one."""
    return {"metadata": state["metadata"]} if state.get("metadata") else {}


def _feature(environment: Environment, feature: Mapping[str, Any]) -> dict[str, Any]:
    """A feature with members that a document does not hold.

    Its value is taken for the initial one, and a feature is created off.
    """
    return {
        "id": feature["id"],
        "name": feature["name"],
        "created_date": CREATED_DATE,
        "description": None,
        "initial_value": _as_text(environment.flag_values.get(feature["name"])),
        "default_enabled": False,
        "type": feature["type"],
    }


def _as_text(value: Value) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _is_visible(
    environment: Environment, state: Mapping[str, Any], with_server_key_only: bool
) -> bool:
    document = environment.document
    project = document["project"]
    hide_disabled = document.get("hide_disabled_flags")
    if hide_disabled is None:
        hide_disabled = project.get("hide_disabled_flags", False)
    if hide_disabled and not state["enabled"]:
        return False
    return with_server_key_only or state["feature"]["id"] not in project.get(
        "server_key_only_feature_ids", []
    )
