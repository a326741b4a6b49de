"""``v1/events``: exposures to experiments, and what users did.

On Flagsmith this is a service of its own, with other answers than the API: its errors are text, and
each event of a batch is accepted or rejected by itself. The limits, the statuses and the texts are
those of its source, github.com/Flagsmith/ingestion-server.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Flask, Response, jsonify, request

from ..state import State
from ..usage import EXPOSURE
from .resources import KEY_HEADER

PATH = "/v1/events"

#: Limits, in characters and in bytes of JSON.
MAX_EVENT = 256
MAX_FEATURE_NAME = 2000
MAX_IDENTIFIER = 2000
MAX_TRAIT_KEY = 200
MAX_TRAIT_VALUE = 2000
MAX_VALUE_BYTES = 128 * 1024
MAX_TRAITS_BYTES = 32 * 1024
MAX_METADATA_BYTES = 8 * 1024
MAX_BODY_BYTES = 2 * 1024 * 1024

_EARLIEST = 1_577_836_800_000  # the year 2020, in milliseconds
_LATEST_AHEAD = 24 * 60 * 60 * 1000

_MEMBERS: Mapping[str, tuple[type, ...]] = {
    "event": (str,),
    "feature_name": (str, type(None)),
    "identifier": (str, type(None)),
    "value": (object,),
    "traits": (object,),
    "metadata": (object,),
    "timestamp": (int,),
}


class _BodyError(Exception):
    """The body as a whole is refused. The arguments are the text and the status."""


def add_events(app: Flask, state: State) -> None:
    """Registers the endpoint."""

    @app.post(PATH)
    def receive() -> Response:
        state.journal.record_call("v1/events")
        key = request.headers.get(KEY_HEADER)
        if not key:
            return _refuse("Missing or invalid X-Environment-Key header", 401)
        if key not in (state.server_side_key, state.environment.client_side_key):
            return _refuse("Unknown environment key", 403)
        try:
            events = _read_events()
        except _BodyError as error:
            return _refuse(*error.args)
        return _answer(state, events)


def _answer(state: State, events: list[dict[str, Any]]) -> Response:
    if not events:
        return _json(400, accepted=0, rejected=[], error="events must be non-empty")
    latest = time.time_ns() // 1_000_000 + _LATEST_AHEAD
    accepted, rejected = [], []
    for index, event in enumerate(events):
        error = next(_errors(event, latest), None)
        if error is None:
            accepted.append(event)
        else:
            rejected.append({"index": index, "error": f"events[{index}].{error}"})
    if accepted:
        state.usage.record_events(accepted)
    return _json(202 if accepted else 400, accepted=len(accepted), rejected=rejected)


def _read_events() -> list[dict[str, Any]]:
    if request.mimetype != "application/json":
        raise _BodyError("Expected request with `Content-Type: application/json`", 415)
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _BodyError("Failed to buffer the request body: length limit exceeded", 413)
    try:
        body = json.loads(request.get_data())
    except (ValueError, RecursionError) as error:
        raise _BodyError(f"Failed to parse the request body as JSON: {error}", 400) from None
    events = body.get("events") if isinstance(body, Mapping) else None
    if not isinstance(events, list):
        raise _wrong_type("events")
    return [_read_event(index, event) for index, event in enumerate(events)]


def _read_event(index: int, event: Any) -> dict[str, Any]:
    if not isinstance(event, Mapping):
        raise _wrong_type(f"events[{index}]")
    values = {"event": "", "timestamp": 0} | dict(event)
    for member, types in _MEMBERS.items():
        value = values.setdefault(member, None)
        if not isinstance(value, types) or (member == "timestamp" and isinstance(value, bool)):
            raise _wrong_type(f"events[{index}].{member}")
    return {member: values[member] for member in _MEMBERS}


def _wrong_type(place: str) -> _BodyError:
    return _BodyError(
        f"Failed to deserialize the JSON body into the target type: {place}: invalid type", 422
    )


def _errors(event: Mapping[str, Any], latest: int) -> Iterator[str]:
    """Yields why an event is rejected; nothing if it is valid."""
    name, timestamp = event["event"], event["timestamp"]
    if not name.strip():
        yield "event must be non-empty"
    if len(name) > MAX_EVENT:
        yield f"event must be at most {MAX_EVENT} characters"
    if name.startswith("$") and name != EXPOSURE:
        yield f'event "{name}" uses the reserved `$` prefix but is not a known system event'
    if name == EXPOSURE and event["feature_name"] is None:
        yield f"feature_name is required for {EXPOSURE} events"
    yield from _too_long(event, "feature_name", MAX_FEATURE_NAME)
    yield from _too_long(event, "identifier", MAX_IDENTIFIER)
    if timestamp <= _EARLIEST:
        yield "timestamp must be an epoch-millis value after 2020-01-01"
    if timestamp > latest:
        yield "timestamp must not be more than 24h in the future"
    yield from _too_large(event, "value", MAX_VALUE_BYTES)
    if event["traits"] is not None:
        yield from _too_large(event, "traits", MAX_TRAITS_BYTES)
        yield from _trait_errors(event["traits"])
    if event["metadata"] is not None:
        yield from _too_large(event, "metadata", MAX_METADATA_BYTES)


def _too_long(event: Mapping[str, Any], member: str, most: int) -> Iterator[str]:
    if len(event[member] or "") > most:
        yield f"{member} must be at most {most} characters"


def _too_large(event: Mapping[str, Any], member: str, most: int) -> Iterator[str]:
    text = json.dumps(event[member], ensure_ascii=False, separators=(",", ":"))
    if len(text.encode(errors="replace")) > most:
        yield f"{member} must serialize to at most {most} bytes"


def _trait_errors(traits: Any) -> Iterator[str]:
    if not isinstance(traits, Mapping):
        yield "traits must be a JSON object"
        return
    for key, value in traits.items():
        if len(key) > MAX_TRAIT_KEY:
            yield f"trait keys must be at most {MAX_TRAIT_KEY} characters"
        if isinstance(value, str) and len(value) > MAX_TRAIT_VALUE:
            yield f'traits["{key}"] string values must be at most {MAX_TRAIT_VALUE} characters'


def _refuse(text: str, status: int) -> Response:
    return Response(text, status=status, mimetype="text/plain")


def _json(status: int, **body: Any) -> Response:
    response = jsonify(body)
    response.status_code = status
    return response
