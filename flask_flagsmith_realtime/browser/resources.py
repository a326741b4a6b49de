"""Resources: a path, its methods, and what all browser endpoints share.

Every method of a path, and every unknown path, is answered by the blueprint, so that an error is
short JSON instead of a page of the app. Errors are the browser's, so they are not logged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

from flask import Blueprint, Response, abort, current_app, request
from werkzeug.exceptions import HTTPException

from ..app_state import state_of
from .origins import add_cors, is_allowed

View = Callable[..., Response]

#: The largest body of a request. The traits of an identity are small.
LARGEST_BODY_BYTES = 64 * 1024

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def add_resource(blueprint: Blueprint, rule: str, endpoint: str, **views: View) -> None:
    """Registers a path.

    :param rule: the path.
    :param endpoint: its name.
    :param views: the views by method, in capitals. ``GET`` answers ``HEAD``, too.
    """
    methods = ", ".join((*views, "OPTIONS"))

    def dispatch(**arguments: Any) -> Response:
        # The proxies cost more than all else here.
        asked = request._get_current_object()  # type: ignore[attr-defined]
        origins = state_of(current_app).config.browser_origins
        method = "GET" if asked.method == "HEAD" else asked.method
        if not is_allowed(asked.headers, asked.host, origins):
            response = json_response({"detail": "This origin is not allowed."}, 403)
        elif method == "OPTIONS":
            response = Response(status=204)
            add_cors(response.headers, asked.headers, origins, methods)
            return response
        elif method not in views:
            response = json_response({"detail": "This method is not allowed."}, 405)
            response.headers["Allow"] = methods
        else:
            try:
                response = views[method](**arguments)
            except HTTPException as error:
                response = json_response({"detail": error.description}, error.code or 500)
        add_cors(response.headers, asked.headers, origins)
        return response

    blueprint.add_url_rule(
        rule, endpoint, dispatch, methods=_METHODS, provide_automatic_options=False
    )


def json_response(content: Any, status: int = 200) -> Response:
    """Returns an answer with JSON."""
    return bytes_response(json_bytes(content), status)


def bytes_response(body: bytes, status: int = 200) -> Response:
    """Returns an answer with JSON that is already serialized."""
    response = Response(body, status, mimetype="application/json")
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def json_bytes(content: Any) -> bytes:
    """Returns content as JSON."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def read_json() -> Any:
    """Returns the JSON of the current request.

    :raises HTTPException: 400 if it is not JSON, 413 if it is too large.
    """
    request.max_content_length = LARGEST_BODY_BYTES
    try:
        return json.loads(request.get_data(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        abort(400, "The body is not JSON.")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
