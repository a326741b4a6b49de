"""The checks and headers that all endpoints of the API share.

Flagsmith's API is written with Django REST framework, and clients see its order of checks: content
negotiation, then the environment key, then the method, then the body. Each endpoint is a
:class:`Resource`, which carries what the headers of its answers depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, request

from ..state import State
from .refusals import RequestRefusedError

KEY_HEADER = "X-Environment-Key"
CACHE_CONTROL = "max-age=0, no-cache, no-store, must-revalidate, private"

# A missing key, or one of the wrong kind, and an unknown key get texts that differ in one letter.
MISSING_KEY = "Invalid or missing Environment key"
UNKNOWN_KEY = "Invalid or missing Environment Key"

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True)
class Call:
    """A request whose key was accepted.

    :param state: the emulator's state.
    :param is_server_side: the key is the server-side one.
    """

    state: State
    is_server_side: bool


@dataclass(frozen=True)
class Resource:
    """An endpoint.

    :param path: the URL rule.
    :param name: how :attr:`.Emulator.calls` counts it.
    :param handlers: the function that answers, by method. Each takes a :class:`Call` and the
        arguments of the URL rule.
    :param allow: the ``Allow`` header.
    :param renders_json_only: another ``Accept`` is refused; else ``Accept`` is part of ``Vary``.
    :param varies_by_key: the key is part of the ``Vary`` header of a GET.
    :param needs_server_side_key: the client-side key is refused.
    """

    path: str
    name: str
    handlers: Mapping[str, Callable[..., Response]]
    allow: str
    renders_json_only: bool = False
    varies_by_key: bool = False
    needs_server_side_key: bool = False


def add_resource(app: Flask, state: State, resource: Resource) -> None:
    """Registers an endpoint, for all methods: a wrong one is refused after the key was checked."""

    def answer(**arguments: Any) -> Response:
        state.journal.record_call(resource.name)
        try:
            response = _dispatch(state, resource, arguments)
        except RequestRefusedError as refusal:
            response = refusal.as_response()
        return _with_headers(response, resource)

    app.add_url_rule(
        resource.path,
        endpoint=resource.path,
        view_func=answer,
        methods=_METHODS,
        provide_automatic_options=False,
    )


def _dispatch(state: State, resource: Resource, arguments: Mapping[str, Any]) -> Response:
    if resource.renders_json_only and not _accepts_json():
        raise RequestRefusedError(406, {"detail": "Could not satisfy the request Accept header."})
    call = Call(state, _is_server_side(state, resource))
    if request.method == "OPTIONS":
        return Response(status=200)
    method = "GET" if request.method == "HEAD" else request.method
    handler = resource.handlers.get(method)
    if handler is None:
        raise RequestRefusedError(405, {"detail": f'Method "{request.method}" not allowed.'})
    return handler(call, **arguments)


def _accepts_json() -> bool:
    accepted = request.accept_mimetypes
    return not accepted or accepted.quality("application/json") > 0


def _is_server_side(state: State, resource: Resource) -> bool:
    """Checks the key, and says which of the two it is."""
    key = request.headers.get(KEY_HEADER)
    if not key:
        raise RequestRefusedError(403, {"detail": MISSING_KEY})
    if key == state.server_side_key:
        _refuse_foreign_page()
        return True
    if key != state.environment.client_side_key:
        raise RequestRefusedError(403, {"detail": UNKNOWN_KEY})
    if resource.needs_server_side_key:
        raise RequestRefusedError(403, {"detail": MISSING_KEY})
    return False


def _refuse_foreign_page() -> None:
    """Refuses the server-side key to pages of other origins.

    The emulator's server-side key can be guessed from the client-side key, which every page of the
    app shows. A real one cannot, so Flagsmith needs no such rule.
    """
    origin = request.headers.get("Origin")
    if origin is not None and origin != request.host_url.rstrip("/"):
        raise RequestRefusedError(403, {"detail": "A page must not use the server-side key."})


def _with_headers(response: Response, resource: Resource) -> Response:
    if response.status_code == 500:
        response.headers["Vary"] = "Origin"
    else:
        response.headers["Vary"] = _vary(response, resource)
        response.headers["Allow"] = resource.allow
    response.headers["Cache-Control"] = CACHE_CONTROL
    return response


def _vary(response: Response, resource: Resource) -> str:
    """Returns the ``Vary`` header, which differs between the parts of Flagsmith that answer."""
    names = ["Origin"]
    if not resource.renders_json_only:
        names.insert(0, "Accept")
    reads = request.method == "GET" and response.status_code not in (403, 406)
    if resource.varies_by_key and reads:
        names.insert(0, "X_ENVIRONMENT_KEY")
    return ", ".join(names)
