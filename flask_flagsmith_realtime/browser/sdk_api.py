"""Flagsmith's SDK API on the app's own origin, as far as its JavaScript SDK calls it.

The SDK says whose flags it wants. It is not believed: every answer is for the identity that the
app's loader returns for the request. The body for the environment's flags is made once for each
snapshot.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

from flask import Blueprint, Response, abort, current_app, request

from ..app_state import state_of
from ..model import Flag, Identity, Snapshot, TraitValue
from ..reading import BrowserFlags, Flags, flags_for_browser
from .resources import add_resource, bytes_response, json_bytes, json_response, read_json

#: Flagsmith's limits, in characters.
_LONGEST_KEY = 200
_LONGEST_VALUE = 2000

#: The key of the bodies in ``app.extensions``.
_EXTENSION = "flagsmith_realtime_bodies"

_EPOCH_HEADER = "X-Flagsmith-Document-Updated-At"


def add_sdk_api(blueprint: Blueprint, current_flags: Callable[[], Flags]) -> None:
    """Registers the endpoints.

    :param current_flags: returns the flags of the current request.
    """

    def flags() -> Response:
        found = flags_for_browser(current_flags())
        response = _with_epoch(bytes_response(_flags_body(found)), found)
        response.add_etag()
        response.make_conditional(request)
        return response

    def identity() -> Response:
        return _identity_response(current_flags(), {})

    def identity_with_traits() -> Response:
        believed = state_of(current_app).config.browser_traits
        return _identity_response(current_flags(), _read_traits(read_json(), believed))

    add_resource(blueprint, "/api/v1/flags/", "flags", GET=flags)
    add_resource(
        blueprint, "/api/v1/identities/", "identities", GET=identity, POST=identity_with_traits
    )
    # Old SDKs store traits by these, and then ask for the identity.
    add_resource(blueprint, "/api/v1/traits/", "traits", POST=_echo)
    add_resource(blueprint, "/api/v1/traits/bulk/", "traits_bulk", PUT=_echo)
    add_resource(blueprint, "/api/v1/analytics/flags/", "analytics", POST=_count_nothing)


class _Bodies:
    """The body for one app's environment flags, under the newest snapshot."""

    def __init__(self) -> None:
        self._newest: tuple[Snapshot, bytes] | None = None

    def get(self, flags: BrowserFlags) -> bytes:
        newest, snapshot = self._newest, flags.snapshot
        if newest is not None and newest[0] is snapshot:
            return newest[1]
        body = json_bytes(_flags(flags))
        if snapshot is not None:
            self._newest = snapshot, body
        return body


def _flags_body(flags: BrowserFlags) -> bytes:
    if flags.identity is not None or state_of(current_app).overrides:
        return json_bytes(_flags(flags))
    extensions = current_app.extensions
    bodies: _Bodies | None = extensions.get(_EXTENSION)
    if bodies is None:
        bodies = extensions.setdefault(_EXTENSION, _Bodies())
    return bodies.get(flags)


def _identity_response(flags: Flags, traits: Mapping[str, TraitValue]) -> Response:
    found = flags_for_browser(flags)
    identifier = None if found.identity is None else found.identity.identifier
    if traits:
        found = flags_for_browser(flags.for_identity(_with_traits(found.identity, traits)))
    head = {"identifier": identifier, "traits": _echoed(found, traits)}
    # The flags are serialized already.
    body = json_bytes(head)[:-1] + b',"flags":' + _flags_body(found) + b"}"
    return _with_epoch(bytes_response(body), found)


def _with_traits(identity: Identity | None, traits: Mapping[str, TraitValue]) -> Identity:
    """Returns the identity with the traits of the browser, which replace its own.

    Without an identity, equal traits are one, as on Flagsmith.
    """
    if identity is not None:
        return Identity(identity.identifier, {**identity.traits, **traits}, identity.transient)
    digest = hashlib.sha256(repr(sorted(traits.items())).encode()).hexdigest()
    return Identity(digest, traits, transient=True)


def _echoed(flags: BrowserFlags, traits: Mapping[str, TraitValue]) -> list[dict[str, Any]]:
    if flags.rules.hides_sensitive:
        return []
    return [{"trait_key": name, "trait_value": value} for name, value in traits.items()]


def _flags(flags: BrowserFlags) -> list[dict[str, Any]]:
    return [_flag(flag) for flag in flags.visible()]


def _flag(flag: Flag) -> dict[str, Any]:
    content: dict[str, Any] = {
        "feature": {"id": flag.feature_id, "name": flag.feature_name},
        "enabled": flag.enabled,
        "feature_state_value": flag.value,
    }
    if flag.variant is not None:
        content["variant"] = flag.variant
    if flag.experiment is not None:
        content["metadata"] = {"experiment": dataclasses.asdict(flag.experiment)}
    return content


def _with_epoch(response: Response, flags: BrowserFlags) -> Response:
    if flags.epoch is not None:
        response.headers[_EPOCH_HEADER] = repr(flags.epoch)
    return response


def _read_traits(body: Any, believed: Collection[str]) -> dict[str, TraitValue]:
    """Returns the traits of a body that are believed.

    :raises HTTPException: 400 if the body is not one that the SDK sends.
    """
    given = body.get("traits", []) if isinstance(body, dict) else None
    if not isinstance(given, list):
        abort(400, 'The body must be an object with a list of "traits".')
    traits: dict[str, TraitValue] = {}
    for trait in given:
        name, value = _read_trait(trait)
        if name in believed:
            traits[name] = value
    return traits


def _read_trait(trait: Any) -> tuple[str, TraitValue]:
    name = trait.get("trait_key") if isinstance(trait, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_KEY:
        abort(400, f'Each trait needs a "trait_key" of at most {_LONGEST_KEY} characters.')
    value = trait.get("trait_value")
    if value is not None and not isinstance(value, (str, int, float)):
        abort(400, 'A "trait_value" must be text, a number, true, false or null.')
    if isinstance(value, str) and len(value) > _LONGEST_VALUE:
        abort(400, f'A "trait_value" has at most {_LONGEST_VALUE} characters.')
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        abort(400, 'A "trait_value" must be a finite number.')
    return name, value


def _echo() -> Response:
    """Accepts traits as Flagsmith does. Nothing is stored."""
    return json_response(read_json())


def _count_nothing() -> Response:
    if not isinstance(read_json(), dict):
        abort(400, "The body must be an object of counts.")
    return bytes_response(b"")
