"""Environment documents: parsing, validation, lookups and new parts.

Pure functions. A document is what Flagsmith's ``environment-document/`` answers, as a ``dict``. The
emulator's state file is one too, with one addition: an identity with traits and without overrides
has an entry in ``identity_overrides`` whose ``identity_features`` is empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from importlib.resources import files
from typing import Any, TypeAlias, cast
from uuid import uuid4

from ..exceptions import InvalidDocumentError
from ..model import Document as AppDocument
from ..model import first_page, snapshot_of_pages

Document: TypeAlias = dict[str, Any]

#: A flag's value. Flagsmith stores anything else as text.
Value: TypeAlias = str | int | bool | None

#: A trait's value; ``None`` removes the trait.
TraitValue: TypeAlias = str | int | float | bool | None


class DocumentError(ValueError):
    """A document is not an environment document. The text says why."""


def sample() -> Document:
    """Returns the document that ships with the emulator, with the current time as its epoch.

    An app that runs through a restart of the emulator ignores a document with an older epoch.
    """
    document = parse(files(__package__).joinpath("sample.json").read_text("utf-8"))
    document["updated_at"] = datetime.now(timezone.utc).isoformat(timespec="microseconds")
    return document


def parse(text: str) -> Document:
    """Parses a document.

    :raises DocumentError: if the text is not JSON, or not an environment document.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"it is not JSON: {error}") from None
    return check(document)


def check(document: Any) -> Document:
    """Validates the members that the emulator and apps read.

    :returns: the document, in which optional members are filled in.
    :raises DocumentError: if a member is missing or invalid.
    """
    if not isinstance(document, dict):
        raise DocumentError("it is not a JSON object")
    try:
        parse_moment(document["updated_at"])
        document["project"].setdefault("segments", [])
        document.setdefault("identity_overrides", [])
        for segment in document["project"]["segments"]:
            segment.setdefault("feature_states", [])
        for identity in document["identity_overrides"]:
            identity.setdefault("identity_traits", [])
        for state in feature_states(document):
            state.setdefault("multivariate_feature_state_values", [])
            state.setdefault("feature_segment", None)
            state["feature"].setdefault("type", "STANDARD")
        _decode(document)
    except KeyError as error:
        raise DocumentError(f"it is not an environment document: {error} is missing") from None
    except (AttributeError, TypeError, ValueError, InvalidDocumentError) as error:
        raise DocumentError(f"it is not an environment document: {error}") from None
    return document


def _decode(document: Document) -> None:
    """Decodes a document as an app does."""
    body = json.dumps(document, allow_nan=False).encode()
    decoded = snapshot_of_pages([first_page(body)], epoch=None, fetched_at=0).document
    for identity in document["identity_overrides"]:
        cast(AppDocument, decoded).overrides_of(identity["identifier"])


def parse_moment(text: str) -> datetime:
    """Parses an ISO 8601 time; without a time zone it is in UTC.

    :raises ValueError: if it is invalid.
    """
    # Python 3.10 does not read the Z that the standard allows.
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def epoch(document: Mapping[str, Any]) -> float:
    """Returns the document's ``updated_at`` in seconds since 1970."""
    return parse_moment(document["updated_at"]).timestamp()


def feature_states(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields every feature state: those of the environment, the segments and the identities."""
    yield from document["feature_states"]
    for segment in document["project"]["segments"]:
        yield from segment["feature_states"]
    for identity in document["identity_overrides"]:
        yield from identity["identity_features"]


def find_flag(document: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Returns the environment's state of a feature."""
    return find_state(document["feature_states"], name)


def find_state(states: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """Returns the state of a feature in a list of states."""
    return next((state for state in states if state["feature"]["name"] == name), None)


def find_segment(document: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Returns a segment by its name."""
    segments: list[dict[str, Any]] = document["project"]["segments"]
    return next((segment for segment in segments if segment["name"] == name), None)


def find_identity(document: Mapping[str, Any], identifier: str) -> dict[str, Any] | None:
    """Returns the entry of an identity, with its overrides and its traits."""
    identities: list[dict[str, Any]] = document["identity_overrides"]
    return next((entry for entry in identities if entry["identifier"] == identifier), None)


def new_feature(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Makes a feature with an id of its own."""
    return {"id": _next_id(document, "feature"), "name": name, "type": "STANDARD"}


def new_state(document: Mapping[str, Any], feature: Mapping[str, Any]) -> dict[str, Any]:
    """Makes a state of a feature with an id of its own: off, and without a value."""
    return {
        "feature": dict(feature),
        "enabled": False,
        "django_id": _next_id(document, "state"),
        "feature_segment": None,
        "featurestate_uuid": str(uuid4()),
        "feature_state_value": None,
        "multivariate_feature_state_values": [],
    }


def new_variant(document: Mapping[str, Any], value: Value, percentage: float) -> dict[str, Any]:
    """Makes a variant of a multivariate feature, with an id of its own."""
    number = _next_id(document, "variant")
    return {
        "multivariate_feature_option": {"value": value, "id": number, "key": None},
        "percentage_allocation": float(percentage),
        "id": number,
        "mv_fs_value_uuid": str(uuid4()),
    }


def new_segment(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Makes a segment with an id of its own. It has no rules, so no identity is in it."""
    number = _next_id(document, "segment")
    return {"id": number, "name": name, "rules": [], "feature_states": []}


def new_identity(document: Mapping[str, Any], identifier: str) -> dict[str, Any]:
    """Makes an identity with an id of its own, without overrides and traits."""
    api_key = document["api_key"]
    return {
        "identifier": identifier,
        "environment_api_key": api_key,
        "created_date": datetime.now(timezone.utc).isoformat(),
        "identity_features": [],
        "identity_traits": [],
        "identity_uuid": str(uuid4()),
        "django_id": _next_id(document, "identity"),
        "dashboard_alias": None,
        "composite_key": f"{api_key}_{identifier}",
    }


def _next_id(document: Mapping[str, Any], kind: str) -> int:
    return max((number or 0 for number in _ids(document, kind)), default=0) + 1


def _ids(document: Mapping[str, Any], kind: str) -> Iterator[int | None]:
    if kind == "segment":
        yield from (segment["id"] for segment in document["project"]["segments"])
    elif kind == "identity":
        yield from (identity.get("django_id") for identity in document["identity_overrides"])
    for state in feature_states(document):
        if kind == "feature":
            yield state["feature"]["id"]
        elif kind == "state":
            yield state.get("django_id")
        elif kind == "variant":
            yield from (variant.get("id") for variant in state["multivariate_feature_state_values"])
