"""The API's Flask app: its endpoints, put together."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from ..loopback import refuse_other_names
from ..state import State
from . import deprecated, events, sdk, usage
from .cors import allow_every_origin
from .resources import add_resource
from .stream import StreamOptions, add_stream

#: The largest request body that is read. An identity's traits are small.
_LARGEST_BODY_BYTES = 4 * 1024 * 1024


def create_api(state: State, options: StreamOptions, page_size: int | None) -> Flask:
    """Makes the app.

    :param page_size: as many identity overrides are on a page of the environment document; all,
        and no pages, if ``None``.
    """
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY_BYTES
    # Features come in the environment's order, not in the alphabet's.
    app.json.sort_keys = False  # type: ignore[attr-defined]
    refuse_other_names(app)
    allow_every_origin(app)
    _answer_errors_in_json(app)
    _redirect_to_slash(app)
    for resource in (*sdk.resources(page_size), *deprecated.RESOURCES, *usage.RESOURCES):
        add_resource(app, state, resource)
    events.add_events(app, state)
    add_stream(app, state, options)
    return app


def _answer_errors_in_json(app: Flask) -> None:
    @app.errorhandler(HTTPException)
    def answer(error: HTTPException) -> Response:
        response = jsonify(detail="Not found." if error.code == 404 else error.description)
        response.status_code = error.code or 500
        response.headers["Vary"] = "Origin"
        return response


def _redirect_to_slash(app: Flask) -> None:
    """Redirects a path without its last slash as Django does: by 301, with a path alone."""

    @app.before_request
    def redirect() -> Response | None:
        if not isinstance(request.routing_exception, RequestRedirect):
            return None
        query = request.query_string.decode("latin-1")
        response = Response(status=301, mimetype="text/html")
        response.headers["Location"] = f"{request.path}/" + (f"?{query}" if query else "")
        response.headers["Vary"] = "Origin"
        return response
