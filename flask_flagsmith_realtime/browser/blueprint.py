"""The blueprint: the event stream, the epoch, the script, and the SDK's API."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from flask import Blueprint, Response, abort, request, url_for
from markupsafe import Markup

from ..app_state import AppState
from ..model import parse_epoch
from ..reading import BROWSER_BLUEPRINT, Flags
from .events import Events, RepeatedEvents
from .resources import add_resource, json_response
from .sdk_api import add_sdk_api
from .streams import RETRY_AFTER_SECONDS, EventStreams

_SCRIPT = (Path(__file__).parent / "static" / "live.js").read_bytes()
_VERSION = hashlib.sha256(_SCRIPT).hexdigest()[:12]

#: The key of the streams in ``app.extensions``.
_EXTENSION = "flagsmith_realtime_streams"


def make_blueprint(current_flags: Callable[[], Flags]) -> Blueprint:
    """Returns the blueprint.

    :param current_flags: returns the flags of the current request.
    """
    blueprint = Blueprint(BROWSER_BLUEPRINT, __name__, url_prefix="/flagsmith/browser")
    add_resource(blueprint, "/events", "events", GET=_events)
    add_resource(blueprint, "/epoch", "epoch", GET=_epoch)
    add_resource(blueprint, "/live.js", "script", GET=_script)
    add_resource(blueprint, "/sse/environments/<environment>/stream", "sdk_stream", GET=_sdk_stream)
    add_resource(
        blueprint,
        "/since/<since>/sse/environments/<environment>/stream",
        "sdk_stream_since",
        GET=_sdk_stream,
    )
    add_sdk_api(blueprint, current_flags)
    add_resource(blueprint, "/<path:path>", "not_found", GET=_not_found, POST=_not_found)

    @blueprint.app_template_global()
    def flagsmith_live(nonce: str | None = None) -> Markup:
        """Returns the script tag that makes a page follow changes.

        :param nonce: the nonce of the page's Content Security Policy.
        """
        epoch = current_flags().epoch
        tag = Markup(
            '<script type="module" id="flagsmith-live" data-epoch="{}" src="{}"{}></script>'
        )
        return tag.format(
            "" if epoch is None else repr(epoch),
            url_for(f"{BROWSER_BLUEPRINT}.script", v=_VERSION),
            "" if nonce is None else Markup(' nonce="{}"').format(nonce),
        )

    return blueprint


def _events(state: AppState) -> Response:
    # A browser that connects again names the last event that it got.
    known = parse_epoch(request.headers.get("Last-Event-ID") or request.args.get("since"))
    stream = _streams(state).open(request.environ, Events(known))
    if stream is None:
        response = json_response({"detail": "There is no room for an event stream."}, 503)
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return response
    return _stream_response(stream)


def _sdk_stream(state: AppState, environment: str, since: str | None = None) -> Response:
    # The last event that the SDK got does not say that it got the flags.
    events = RepeatedEvents(parse_epoch(since))
    stream = _streams(state).open(request.environ, events)
    if stream is not None:
        return _stream_response(stream)
    # After an error the SDK would try again at once. So it gets a stream that ends at once and says
    # when to connect again: it polls.
    return _stream_response(_streams(state).poll(events))


def _epoch(state: AppState) -> Response:
    snapshot = state.engine.read()
    epoch = None if snapshot is None else snapshot.epoch
    return json_response(
        {"updated_at": epoch, "stream": _streams(state).have_room(request.environ)}
    )


def _script(state: AppState) -> Response:
    response = Response(_SCRIPT, mimetype="text/javascript")
    response.set_etag(_VERSION)
    if request.args.get("v") == _VERSION:
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    else:
        response.headers["Cache-Control"] = "no-cache"
    return response


def _not_found(state: AppState, path: str) -> Response:
    abort(404, "There is nothing at this address.")


def _stream_response(stream: Iterable[str]) -> Response:
    response = Response(stream, mimetype="text/event-stream")
    response.headers["Cache-Control"] = "private, no-store"
    # nginx would keep the events back.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _streams(state: AppState) -> EventStreams:
    extensions = state.app.extensions
    streams: EventStreams | None = extensions.get(_EXTENSION)
    if streams is None:
        streams = extensions.setdefault(_EXTENSION, EventStreams(state.config, state.engine))
    return streams
