"""Resources: a path, its methods, and what all browser endpoints share.

Every method of a path, and every unknown path, is answered by the blueprint, so that an error is
short JSON instead of a page of the app. Errors are the browser's, so they are not logged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from flask import Blueprint, Response, abort, current_app, request
from werkzeug.exceptions import HTTPException

from ..app_state import state_of
from ..exceptions import InvalidDocumentError
from ..model import decode
from .origins import add_cors, is_allowed

#: Takes the app's state, and the variable parts of the path.
View: TypeAlias = Callable[..., Response]
Header: TypeAlias = tuple[str, str]

#: The largest body of a request. The traits of an identity are small.
LARGEST_BODY_BYTES = 64 * 1024

#: The headers of all answers with JSON.
JSON_HEADERS: tuple[Header, ...] = (
    ("Content-Type", "application/json"),
    ("Cache-Control", "private, no-store"),
    ("X-Content-Type-Options", "nosniff"),
)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def add_resource(blueprint: Blueprint, rule: str, endpoint: str, **views: View) -> None:
    """Registers a path.

    :param views: the views by method, in capitals. ``GET`` answers ``HEAD``, too.
    """
    methods = ", ".join((*views, "OPTIONS"))

    def dispatch(**arguments: Any) -> Response:
        environ = request.environ
        state = state_of(current_app)
        origins = state.config.browser_origins
        method = environ["REQUEST_METHOD"]
        view = views.get("GET" if method == "HEAD" else method)
        if not is_allowed(environ, origins):
            response = json_response({"detail": "This origin is not allowed."}, 403)
        elif method == "OPTIONS":
            response = Response(status=204)
            add_cors(response.headers, environ, origins, methods)
            return response
        elif view is None:
            response = json_response({"detail": "This method is not allowed."}, 405)
            response.headers["Allow"] = methods
        else:
            try:
                response = view(state, **arguments)
            except HTTPException as error:
                response = json_response({"detail": error.description}, error.code or 500)
            if "HTTP_IF_NONE_MATCH" in environ:
                response.make_conditional(environ)
        add_cors(response.headers, environ, origins)
        return response

    blueprint.add_url_rule(
        rule, endpoint, dispatch, methods=_METHODS, provide_automatic_options=False
    )


def json_response(content: Any, status: int = 200) -> Response:
    """Returns an answer with JSON."""
    return Response(json_bytes(content), status, JSON_HEADERS)


def json_bytes(content: Any) -> bytes:
    """Returns content as JSON."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def read_json(kind: Any) -> Any:
    """Returns the JSON of the current request.

    :param kind: prepared for decoding.
    :raises HTTPException: 400 if it is not JSON of that type, 413 if it is too large.
    """
    request.max_content_length = LARGEST_BODY_BYTES
    try:
        return decode(kind, request.get_data())
    except InvalidDocumentError as error:
        abort(400, f"The body is not valid: {error}.")
