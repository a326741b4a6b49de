"""Flagsmith's SDK API on the app's own origin, as far as its JavaScript SDK calls it.

The SDK says whose flags it wants. It is not believed: every answer is for the identity that the
app's loader returns for the request. Traits that it sends come back, so that it keeps them, but
have no effect unless the settings name them. The body for the environment's flags is made once for
each snapshot.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias

import msgspec
from flask import Blueprint, Response
from werkzeug.datastructures import Headers

from ..app_state import AppState
from ..model import Flag, Identity, TraitConfig, TraitValue, prepare
from ..reading import BrowserFlags, Flags, flags_for_browser, sdk_name
from ..reporting import Reporter
from .resources import (
    JSON_HEADERS,
    Header,
    add_resource,
    json_bytes,
    json_response,
    read_json,
)

#: The key in ``app.extensions`` of the answer with the environment's flags.
_EXTENSION = "flagsmith_realtime_answer"

#: The most reads of a feature in one report. The SDK reports every 10 s.
_MOST_READS = 10_000

_EPOCH_HEADER = "X-Flagsmith-Document-Updated-At"


#: JavaScript has no larger integers. Rules of segments fail for those that no float can hold.
_LARGEST_INTEGER = 2**53


class _Trait(msgspec.Struct):
    """A trait that the SDK sends, in Flagsmith's limits."""

    trait_key: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    trait_value: (
        Annotated[str, msgspec.Meta(max_length=2000)]
        | Annotated[int, msgspec.Meta(ge=-_LARGEST_INTEGER, le=_LARGEST_INTEGER)]
        | float
        | bool
        | None
    ) = None


class _Claim(msgspec.Struct):
    """An identity as the SDK names it."""

    identifier: Any = None
    traits: tuple[_Trait, ...] = ()


_Reads: TypeAlias = dict[str, Any]
prepare(_Claim, _Reads, Any)


def add_sdk_api(blueprint: Blueprint, current_flags: Callable[[], Flags]) -> None:
    """Registers the endpoints.

    :param current_flags: returns the flags of the current request.
    """

    def flags(state: AppState) -> Response:
        answer = _prepare(state, flags_for_browser(current_flags()))
        return _PreparedResponse(answer.body, 200, answer.headers)

    def identity(state: AppState) -> Response:
        return _identity_response(state, current_flags(), {})

    def identity_with_traits(state: AppState) -> Response:
        claim = read_json(_Claim)
        traits = {trait.trait_key: trait.trait_value for trait in claim.traits}
        return _identity_response(state, current_flags(), traits, claim.identifier)

    def usage(state: AppState) -> Response:
        reads = read_json(_Reads)
        if state.config.enable_analytics:
            _count(state.reporter, flags_for_browser(current_flags()), reads)
        return Response(b"", 200, JSON_HEADERS)

    add_resource(blueprint, "/api/v1/flags/", "flags", GET=flags)
    add_resource(
        blueprint, "/api/v1/identities/", "identities", GET=identity, POST=identity_with_traits
    )
    # Old SDKs store traits by these, and then ask for the identity.
    add_resource(blueprint, "/api/v1/traits/", "traits", POST=_echo)
    add_resource(blueprint, "/api/v1/traits/bulk/", "traits_bulk", PUT=_echo)
    add_resource(blueprint, "/api/v1/analytics/flags/", "analytics", POST=usage)


class _PreparedResponse(Response):
    """An answer that has all its headers, so that none is looked for at each request."""

    def get_wsgi_headers(self, environ: dict[str, Any]) -> Headers:
        return self.headers if self.status_code == 200 else super().get_wsgi_headers(environ)


class _Answer:
    """The answer with some flags."""

    def __init__(self, flags: BrowserFlags) -> None:
        self.snapshot = flags.snapshot
        self.body = json_bytes([_flag(flag) for flag in flags.visible()])
        etag = f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'
        self.headers = (
            *_headers(flags),
            ("ETag", etag),
            ("Content-Length", str(len(self.body))),
        )


def _prepare(state: AppState, flags: BrowserFlags) -> _Answer:
    """Returns the answer with some flags; for the environment's flags, once for each snapshot."""
    if flags.snapshot is None or flags.mapping is not flags.snapshot.flags:
        # Those of an identity, of a test or of a preview.
        return _Answer(flags)
    extensions = state.app.extensions
    kept: _Answer | None = extensions.get(_EXTENSION)
    if kept is None or kept.snapshot is not flags.snapshot:
        kept = extensions[_EXTENSION] = _Answer(flags)
    return kept


def _identity_response(
    state: AppState, flags: Flags, sent: Mapping[str, TraitValue], claimed: object = None
) -> Response:
    """Returns the answer for the identity of the request.

    :param sent: the traits that the browser sent.
    :param claimed: the identifier that it sent.
    """
    found = flags_for_browser(flags)
    identifier = None if found.identity is None else found.identity.identifier
    believed = {name: sent[name] for name in sent if name in state.config.browser_traits}
    if believed:
        found = flags_for_browser(flags.for_identity(_with_traits(found.identity, believed)))
    # The SDK forgets what is not in the answer, also traits that came with its page. Those of
    # another identity it has to forget.
    kept = sent if claimed == identifier else believed
    head = {"identifier": identifier, "traits": _listed(found, kept)}
    # The flags are serialized already.
    body = json_bytes(head)[:-1] + b',"flags":' + _prepare(state, found).body + b"}"
    return Response(body, 200, _headers(found))


def _with_traits(identity: Identity | None, traits: Mapping[str, TraitValue]) -> Identity:
    """Returns the identity with the traits of the browser, which replace its own, and which
    Flagsmith is not to store.

    Without an identity, equal traits are one, as on Flagsmith.
    """
    if identity is None:
        digest = hashlib.sha256(repr(sorted(traits.items())).encode()).hexdigest()
        return Identity(digest, traits, transient=True)
    configs: dict[str, TraitConfig] = {
        name: {"value": value, "transient": name in identity.transient_traits}
        for name, value in identity.traits.items()
    }
    for name, value in traits.items():
        configs[name] = {"value": value, "transient": True}
    return Identity(identity.identifier, configs, identity.transient)


def _listed(flags: BrowserFlags, traits: Mapping[str, TraitValue]) -> list[dict[str, Any]]:
    if flags.hides_traits:
        return []
    return [
        {"trait_key": name, "trait_value": value}
        for name, value in traits.items()
        if value is not None
    ]


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


def _headers(flags: BrowserFlags) -> tuple[Header, ...]:
    if flags.epoch is None:
        return JSON_HEADERS
    return (*JSON_HEADERS, (_EPOCH_HEADER, repr(flags.epoch)))


def _echo(state: AppState) -> Response:
    """Accepts traits as Flagsmith does. Nothing is stored."""
    return json_response(read_json(Any))


def _count(reporter: Reporter, flags: BrowserFlags, reads: Mapping[str, Any]) -> None:
    """Counts reads in a browser with those of the app, of the features that it may have."""
    visible = {sdk_name(flag.feature_name): flag for flag in flags.visible()}
    for name, number in reads.items():
        flag = visible.get(sdk_name(name))
        if flag is not None and type(number) is int and 0 < number <= _MOST_READS:
            reporter.count(flag, number)
