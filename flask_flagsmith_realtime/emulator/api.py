"""The REST API: what Flagsmith's clients call, with a real server's answers, headers and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import Blueprint, Response, jsonify, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, NotFound
from werkzeug.http import http_date

from . import answers, edits
from .document import TraitValue
from .environment import Environment
from .journal import Visit
from .state import State

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

KEY_HEADER = "X-Environment-Key"
EPOCH_HEADER = "X-Flagsmith-Document-Updated-At"
CACHE_CONTROL = "max-age=0, no-cache, no-store, must-revalidate, private"
METHODS = {
    "flags": "GET, HEAD, OPTIONS",
    "identities": "GET, POST, HEAD, OPTIONS",
    "environment-document": "GET, HEAD, OPTIONS",
    "analytics/flags": "POST, OPTIONS",
}
SERVER_SIDE_ONLY = ("environment-document",)

# A missing key, or one of the wrong kind, and an unknown key get texts that differ in one letter.
MISSING_KEY = "Invalid or missing Environment key"
UNKNOWN_KEY = "Invalid or missing Environment Key"


def create_api(state: State, page_size: int | None) -> Blueprint:
    """Make the blueprint.

    :param page_size: as many identity overrides are on a page of the environment document; all,
        and no pages, if ``None``.
    """
    api = Blueprint("api", __name__, url_prefix="/api/v1")

    @api.before_request
    def count_and_check_key() -> None:
        state.journal.record_call(_resource() + "/")
        _check_key(state)

    @api.get("/flags/")
    def flags() -> Response:
        environment = state.environment
        everything = answers.flags(environment, with_server_key_only=_is_server_side())
        name = request.args.get("feature")
        if name is None:
            return _with_epoch(jsonify(everything), environment)
        return jsonify(_pick(everything, name))

    @api.get("/identities/")
    def read_identity() -> Response:
        identifier = request.args.get("identifier")
        if not identifier:
            # On Flagsmith too, this is no error.
            return jsonify(detail="Missing identifier")
        environment = state.environment
        traits = answers.stored_traits(environment, identifier)
        answer = _identify(state, environment, identifier, traits)
        name = request.args.get("feature")
        if name is None:
            return _with_epoch(jsonify(answer), environment)
        return jsonify(_pick(answer["flags"], name))

    @api.post("/identities/")
    def write_identity() -> Response:
        identifier, traits, transient = _read_identity(request.get_json())
        if traits and not (_is_server_side() or _allows_traits(state.environment)):
            return _refusal({"traits": ["Setting traits not allowed with client key."]}, 400)
        if not identifier:
            identifier = answers.generated_identifier(traits)
            transient = set(traits)
        if not _persists_traits(state.environment):
            transient = set(traits)
        stored = {key: value for key, value in traits.items() if key not in transient}
        if stored:
            state.amend(lambda document: edits.set_traits(document, identifier, stored))
        environment = state.environment
        answered = answers.with_transient_traits(
            answers.stored_traits(environment, identifier),
            {key: value for key, value in traits.items() if key in transient},
        )
        answer = _identify(state, environment, identifier, answered)
        return _with_epoch(jsonify(answer), environment)

    @api.get("/environment-document/")
    def environment_document() -> Response:
        # The date first: a change in between then makes the answer newer than its date, not older.
        last_modified = state.last_modified
        since = request.if_modified_since
        if since is not None and state.unmodified_since(since):
            response: Response = _NotModified()
        else:
            environment = state.environment
            document, more = answers.document_page(
                environment, page_size, request.args.get("page_id")
            )
            response = _with_epoch(jsonify(document), environment)
            if more is not None:
                link = f'<{request.path}?page_id={quote(more, safe="")}>; rel="next"'
                response.headers["Link"] = link
        response.headers["Last-Modified"] = http_date(last_modified)
        return response

    @api.post("/analytics/flags/")
    def analytics() -> Response:
        response = Response(status=200)
        del response.headers["Content-Type"]
        return response

    @api.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        return _refusal({"detail": error.description}, error.code or 500)

    @api.after_request
    def add_headers(response: Response) -> Response:
        response.headers["Vary"] = _vary(response)
        response.headers["Allow"] = METHODS[_resource()]
        response.headers["Cache-Control"] = CACHE_CONTROL
        return response

    return api


class _NotModified(Response):
    """A 304 with all its headers: Werkzeug takes out ``Last-Modified`` and ``Allow``."""

    def __init__(self) -> None:
        super().__init__(status=304)
        del self.headers["Content-Type"]

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        return self.headers


def _resource() -> str:
    """What was asked for, as :data:`METHODS` names it."""
    return request.path.removeprefix("/api/v1/").rstrip("/")


def _check_key(state: State) -> None:
    key = request.headers.get(KEY_HEADER)
    if not key:
        raise Forbidden(MISSING_KEY)
    if key == state.server_side_key:
        return
    if key != state.environment.client_side_key:
        raise Forbidden(UNKNOWN_KEY)
    if _resource() in SERVER_SIDE_ONLY:
        raise Forbidden(MISSING_KEY)


def _is_server_side() -> bool:
    # The key was found to be one of the two.
    return request.headers[KEY_HEADER].startswith("ser.")


def _with_epoch(response: Response, environment: Environment) -> Response:
    response.headers[EPOCH_HEADER] = str(environment.epoch)
    return response


def _pick(flags: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for flag in flags:
        if flag["feature"]["name"] == name:
            return flag
    raise NotFound("Given feature not found")


def _identify(
    state: State, environment: Environment, identifier: str, traits: list[dict[str, Any]]
) -> dict[str, Any]:
    """Evaluate an identity, and keep for the page what it was served."""
    values = {trait["trait_key"]: trait["trait_value"] for trait in traits}
    served = environment.evaluate(identifier, values)
    transient = {t["trait_key"]: t["trait_value"] for t in traits if t["transient"]}
    state.journal.record_visit(Visit(identifier, transient, tuple(served)))
    return answers.identity(
        environment, identifier, traits, served, with_server_key_only=_is_server_side()
    )


def _read_identity(body: Any) -> tuple[str, dict[str, TraitValue], set[str]]:
    """Read who asks.

    :returns: the identifier (empty if there is none), the traits, and which of them are for this
        call only.
    """
    if not isinstance(body, Mapping):
        raise BadRequest("Invalid data. Expected a dictionary.")
    identifier = body.get("identifier") or ""
    sent = body.get("traits") or []
    if not isinstance(identifier, (str, int)) or not isinstance(sent, list):
        raise BadRequest("identifier must be text, and traits a list.")
    traits: dict[str, TraitValue] = {}
    transient: set[str] = set()
    for trait in sent:
        key, value = _read_trait(trait)
        traits[key] = value
        if body.get("transient") or trait.get("transient"):
            transient.add(key)
    return str(identifier), traits, transient


def _read_trait(trait: Any) -> tuple[str, TraitValue]:
    if not isinstance(trait, Mapping) or not isinstance(trait.get("trait_key"), str):
        raise BadRequest("A trait must have a trait_key and a trait_value.")
    value = trait.get("trait_value")
    if value is not None and not isinstance(value, (str, int, float, bool)):
        raise BadRequest("A trait_value must be text, a number, true, false or null.")
    return trait["trait_key"], value


def _allows_traits(environment: Environment) -> bool:
    return bool(environment.document.get("allow_client_traits", True))


def _persists_traits(environment: Environment) -> bool:
    organisation = environment.document["project"].get("organisation") or {}
    return bool(organisation.get("persist_trait_data", True))


def _refusal(body: dict[str, Any], status: int) -> Response:
    response = jsonify(body)
    response.status_code = status
    return response


def _vary(response: Response) -> str:
    """What a cache must tell apart: differs by what answered inside Flagsmith."""
    names = ["Origin"]
    if _resource() != "flags":
        names.insert(0, "Accept")
    caches = request.method == "GET" and _resource() in ("flags", "identities")
    if caches and response.status_code != Forbidden.code:
        names.insert(0, "X_ENVIRONMENT_KEY")
    return ", ".join(names)
