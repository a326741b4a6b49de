"""Endpoints that only old SDKs call, and one for multivariate features."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import Response, jsonify

from .. import edits
from ..document import Document
from . import answers, validation
from .bodies import read_body
from .refusals import RequestRefusedError
from .resources import Call, Resource
from .sdk import check_storable, check_traits_allowed, identify


def _set_trait(call: Call) -> Response:
    """``POST traits/``: one trait of one identity."""
    return jsonify(_store(call, [_validated(_read_trait, read_body())])[0])


def _set_traits(call: Call) -> Response:
    """``PUT traits/bulk/``: traits of several identities."""
    return jsonify(_store(call, _validated(_read_traits, read_body())))


def _validated(read: validation.Reader, data: Any) -> Any:
    try:
        return read(data)
    except validation.ValidationError as error:
        raise RequestRefusedError(400, error.detail) from None


_READ_IDENTITY = partial(
    validation.read_object,
    readers={"identifier": partial(validation.text, max_length=validation.MAX_IDENTIFIER)},
)


def _read_identity(value: Any) -> dict[str, Any]:
    if value is validation.MISSING:
        raise validation.ValidationError(["This field is required."])
    return _READ_IDENTITY(value)


_TRAIT: Mapping[str, validation.Reader] = {
    "identity": _read_identity,
    "trait_value": validation.trait_value,
    "trait_key": partial(validation.text, max_length=validation.MAX_TRAIT_KEY),
}
_read_trait = partial(validation.read_object, readers=_TRAIT)
_read_traits = partial(validation.read_list, read=_read_trait)


def _store(call: Call, traits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    try:
        check_traits_allowed(call, traits)
    except validation.ValidationError as error:
        raise RequestRefusedError(400, {"non_field_errors": error.detail["traits"]}) from None
    for trait in traits:
        check_storable(trait["identity"]["identifier"], [trait["trait_value"]])

    def edit(document: Document) -> str:
        done = [
            edits.set_traits(
                document,
                trait["identity"]["identifier"],
                {trait["trait_key"]: trait["trait_value"]},
            )
            for trait in traits
        ]
        return "; ".join(done)

    if traits:
        call.state.amend(edit)
    return traits


def _multivariate_options(call: Call, feature_id: int) -> Response:
    """``flags/{id}/multivariate-options/``: the control value and the variants of a feature."""
    environment = call.state.environment
    for state in answers.visible_states(environment, with_server_key_only=call.is_server_side):
        if state["feature"]["id"] == feature_id:
            variants = state["multivariate_feature_state_values"]
            options = [
                {"value": variant["multivariate_feature_option"]["value"]} for variant in variants
            ]
            return jsonify(control_value=state["feature_state_value"], options=options)
    raise RequestRefusedError(404, {"detail": "Not found."})


def _identity_in_path(call: Call, identifier: str) -> Response:
    """``identities/{identifier}/``: an identity's flags, traits and segments."""
    environment = call.state.environment
    traits = answers.stored_traits(environment, identifier)
    answer = identify(call, environment, identifier, traits)
    values = {trait["trait_key"]: trait["trait_value"] for trait in traits}
    segments = [
        {"id": segment["id"], "name": segment["name"], "description": None}
        for segment in environment.segments_of(identifier, values)
    ]
    flags = [
        {member: value for member, value in flag.items() if member != "variant"}
        for flag in answer["flags"]
    ]
    return jsonify(flags=flags, traits=answer["traits"], segments=segments)


RESOURCES = (
    Resource("/api/v1/traits/", "traits/", {"POST": _set_trait}, "POST, OPTIONS"),
    Resource("/api/v1/traits/bulk/", "traits/bulk/", {"PUT": _set_traits}, "PUT, OPTIONS"),
    Resource(
        "/api/v1/flags/<int:feature_id>/multivariate-options/",
        "flags/{id}/multivariate-options/",
        {"GET": _multivariate_options},
        "GET, OPTIONS",
    ),
    Resource(
        "/api/v1/identities/<identifier>/",
        "identities/{identifier}/",
        {"GET": _identity_in_path},
        "GET, HEAD, OPTIONS",
    ),
)
