"""``flags/``, ``identities/`` and ``environment-document/``: what every SDK calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import Response, jsonify, request
from werkzeug.datastructures import Headers
from werkzeug.http import http_date

from .. import edits
from ..document import TraitValue
from ..environment import Environment
from ..journal import Visit
from . import answers, validation
from .bodies import read_body
from .refusals import RequestRefusedError, ServerFaultError
from .resources import Call, Resource

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

EPOCH_HEADER = "X-Flagsmith-Document-Updated-At"

#: What the database of a real server stores an integer trait in.
_MAX_INTEGER = 2**31

_IDENTITY: Mapping[str, validation.Reader] = {
    "identifier": validation.optional_text,
    "transient": validation.boolean,
    "traits": validation.traits,
}


def resources(page_size: int | None) -> tuple[Resource, ...]:
    """The endpoints.

    :param page_size: see :func:`.app.create_api`.
    """
    return (
        Resource(
            "/api/v1/flags/",
            "flags/",
            {"GET": _flags},
            "GET, HEAD, OPTIONS",
            renders_json_only=True,
            varies_by_key=True,
        ),
        Resource(
            "/api/v1/identities/",
            "identities/",
            {"GET": _read_identity, "POST": _write_identity},
            "GET, POST, HEAD, OPTIONS",
            varies_by_key=True,
        ),
        Resource(
            "/api/v1/environment-document/",
            "environment-document/",
            {"GET": partial(_environment_document, page_size=page_size)},
            "GET, HEAD, OPTIONS",
            needs_server_side_key=True,
        ),
    )


def _flags(call: Call) -> Response:
    environment = call.state.environment
    flags = answers.flags(environment, with_server_key_only=call.is_server_side)
    name = request.args.get("feature")
    if name is None:
        return _with_epoch(call, jsonify(flags), environment)
    if not name and flags:
        return jsonify(flags[0])  # Flagsmith's filter by an empty name matches every feature.
    return jsonify(_pick(flags, name))


def _read_identity(call: Call) -> Response:
    identifier = request.args.get("identifier")
    if not identifier:
        return jsonify(detail="Missing identifier")  # On Flagsmith, this is not an error either.
    environment = call.state.environment
    traits = answers.stored_traits(environment, identifier)
    answer = identify(call, environment, identifier, traits)
    name = request.args.get("feature")
    if not name:
        return _with_epoch(call, jsonify(answer), environment)
    try:
        return _with_epoch(call, jsonify(_pick(answer["flags"], name)), environment)
    except RequestRefusedError as refusal:
        return _with_epoch(call, refusal.as_response(), environment)


def _write_identity(call: Call) -> Response:
    asked = _read_request(call)
    stored = {key: value for key, value in asked.traits.items() if key not in asked.transient}
    if stored:
        call.state.amend(lambda document: edits.set_traits(document, asked.identifier, stored))
    environment = call.state.environment
    traits = answers.with_transient_traits(
        answers.stored_traits(environment, asked.identifier),
        {key: asked.traits[key] for key in asked.transient},
    )
    answer = identify(call, environment, asked.identifier, traits)
    return _with_epoch(call, jsonify(answer), environment)


@dataclass(frozen=True)
class _IdentityRequest:
    """The body of ``POST identities/``.

    :param transient: the names of the traits that count for this call only.
    """

    identifier: str
    traits: dict[str, TraitValue]
    transient: Sequence[str]


def _read_request(call: Call) -> _IdentityRequest:
    try:
        body = validation.read_object(read_body(), _IDENTITY)
        check_traits_allowed(call, body["traits"])
    except validation.ValidationError as error:
        raise RequestRefusedError(400, error.detail) from None
    traits = {trait["trait_key"]: trait["trait_value"] for trait in body["traits"]}
    transient = [trait["trait_key"] for trait in body["traits"] if trait["transient"]]
    identifier = body["identifier"]
    if body["transient"] or not identifier or not _persists_traits(call.state.environment):
        transient = list(traits)
    if not body["transient"]:
        check_storable(identifier, [traits[key] for key in traits if key not in transient])
    if not identifier:
        identifier = answers.generated_identifier(traits)
    return _IdentityRequest(identifier, traits, transient)


def check_traits_allowed(call: Call, traits: Sequence[Any]) -> None:
    """Checks that the key may set traits.

    :raises ValidationError: if it may not.
    """
    document = call.state.environment.document
    if traits and not call.is_server_side and not document.get("allow_client_traits", True):
        raise validation.ValidationError(
            {"traits": ["Setting traits not allowed with client key."]}
        )


def check_storable(identifier: str, values: Sequence[TraitValue]) -> None:
    """Checks that the database of a real server could store an identity and values of traits.

    :raises ServerFaultError: if it could not.
    """
    integers = [value for value in values if type(value) is int]
    if len(identifier) > validation.MAX_IDENTIFIER:
        raise ServerFaultError
    if any(not -_MAX_INTEGER <= value < _MAX_INTEGER for value in integers):
        raise ServerFaultError


def _persists_traits(environment: Environment) -> bool:
    organisation = environment.document["project"].get("organisation") or {}
    return bool(organisation.get("persist_trait_data", True))


def identify(
    call: Call, environment: Environment, identifier: str, traits: list[dict[str, Any]]
) -> dict[str, Any]:
    """Evaluates an identity, and records what it was served."""
    values = {trait["trait_key"]: trait["trait_value"] for trait in traits}
    served = environment.evaluate(identifier, values)
    transient = {t["trait_key"]: t["trait_value"] for t in traits if t["transient"]}
    call.state.journal.record_visit(Visit(identifier, transient, tuple(served)))
    return answers.identity(
        environment, identifier, traits, served, with_server_key_only=call.is_server_side
    )


def _environment_document(call: Call, page_size: int | None) -> Response:
    # The date first: a change in between then makes the answer newer than its date, not older.
    last_modified = call.state.last_modified
    since = request.if_modified_since
    if since is not None and call.state.unmodified_since(since):
        response: Response = _NotModified()
    else:
        environment = call.state.environment
        document, more = environment.served_document, None
        if page_size is not None:
            document, more = environment.served_page(page_size, request.args.get("page_id"))
        response = Response(document, mimetype="application/json")
        _with_epoch(call, response, environment)
        if more is not None:
            link = f'<{request.path}?page_id={quote(more, safe="")}>; rel="next"'
            response.headers["Link"] = link
    response.headers["Last-Modified"] = http_date(last_modified)
    return response


class _NotModified(Response):
    """A 304 with all its headers: Werkzeug takes out ``Last-Modified`` and ``Allow``."""

    def __init__(self) -> None:
        super().__init__(status=304)
        del self.headers["Content-Type"]

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        return self.headers


def _with_epoch(call: Call, response: Response, environment: Environment) -> Response:
    """Adds the header that carries the environment's epoch, which may lag but is never ahead."""
    response.headers[EPOCH_HEADER] = str(min(environment.epoch, call.state.header_epoch))
    return response


def _pick(flags: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for flag in flags:
        if flag["feature"]["name"] == name:
            return flag
    raise RequestRefusedError(404, {"detail": "Given feature not found"})
