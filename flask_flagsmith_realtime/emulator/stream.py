"""The stream: server-sent events that announce each change of the environment.

As on Flagsmith's service, a connection is greeted with the current epoch and ended after a while,
healthy or not; the client comes back.
"""

from __future__ import annotations

import json
import queue
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from flask import Blueprint, Response, request
from werkzeug.exceptions import Forbidden, NotFound, ServiceUnavailable

from .listeners import Listener, TooManyStreamsError
from .state import State

#: What clients are told to wait before they come back, in milliseconds.
RETRY_MILLISECONDS = 15_000

#: How soon a stream whose client went away is noticed.
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Manners:
    """How the stream behaves.

    :param greeting: whether a new connection is told the current epoch.
    :param heartbeat_seconds: how often a comment shows that a silent stream lives.
    :param recycle_seconds: how long a connection lives.
    """

    greeting: bool = True
    heartbeat_seconds: float = 10.0
    recycle_seconds: float = 30.0


def create_stream(state: State, manners: Manners) -> Blueprint:
    """Make the blueprint."""
    stream = Blueprint("stream", __name__)

    @stream.get("/sse/environments/<environment_id>/stream")
    def listen(environment_id: str) -> Response:
        environment = state.environment
        if environment_id != environment.client_side_key:
            raise NotFound("No environment has this id: it is the client-side key.")
        if not environment.document["project"].get("enable_realtime_updates", True):
            raise Forbidden("Real-time updates are off in this project.")
        try:
            listener, epoch = state.listen()
        except TooManyStreamsError:
            raise ServiceUnavailable("There are too many streams.") from None
        parts = _parts(listener, epoch, manners, request.environ.get("werkzeug.socket"))
        response = Response(parts, mimetype="text/event-stream")
        response.headers["Cache-Control"] = "no-store"
        # Not in the generator: it is not entered if the client is gone before it starts.
        response.call_on_close(lambda: state.listeners.leave(listener))
        return response

    return stream


def event(epoch: float) -> str:
    """An event as it goes over the wire."""
    data = json.dumps({"updated_at": epoch})
    return f"event: environment_updated\nretry: {RETRY_MILLISECONDS}\ndata: {data}\n\n"


def _parts(
    listener: Listener, epoch: float, manners: Manners, connection: socket.socket | None
) -> Iterator[str]:
    """What is sent, until the stream has lived its time, shall end, or nobody is there."""
    # The first bytes take the headers along, so that the client knows that it is connected.
    yield event(epoch) if manners.greeting else ": welcome\n\n"
    now = time.monotonic()
    end, heartbeat = now + manners.recycle_seconds, now + manners.heartbeat_seconds
    while now < end and not _is_gone(connection):
        try:
            announced = listener.take(min(end, heartbeat, now + _LOOK_SECONDS) - now)
        except queue.Empty:
            now = time.monotonic()
            if now >= heartbeat:
                yield ": heartbeat\n\n"
                heartbeat = now + manners.heartbeat_seconds
            continue
        if announced is None:
            return
        yield event(announced)
        now = time.monotonic()


def _is_gone(connection: socket.socket | None) -> bool:
    """Whether the client has closed its end: a client of a stream never sends anything more."""
    if connection is None:
        return False
    poll = select.poll()
    try:
        poll.register(connection, select.POLLIN)
        return bool(poll.poll(0)) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True
