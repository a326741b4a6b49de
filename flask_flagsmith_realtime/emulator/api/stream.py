"""The stream: server-sent events that announce each change of the environment.

As on Flagsmith's service, a connection is greeted with the current epoch and closed after a while;
the client connects again.
"""

from __future__ import annotations

import json
import queue
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flask import Flask, Response, request
from werkzeug.exceptions import Forbidden, NotFound, ServiceUnavailable

from ..listeners import Listener, TooManyStreamsError
from ..state import State

#: How long clients wait before they connect again.
RETRY_MILLISECONDS = 15_000

#: How often a stream looks whether its client has closed the connection.
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class StreamOptions:
    """The timing of the stream.

    :param greeting: a new connection gets the current epoch at once.
    :param heartbeat_seconds: after so long without an event, a comment is sent.
    :param recycle_seconds: how long a connection lives.
    """

    greeting: bool = True
    heartbeat_seconds: float = 10.0
    recycle_seconds: float = 30.0


def add_stream(app: Flask, state: State, options: StreamOptions) -> None:
    """Registers the endpoint."""

    @app.get("/sse/environments/<environment_id>/stream")
    def listen(environment_id: str) -> Response:
        environment = state.environment
        if environment_id != environment.client_side_key:
            raise NotFound
        if not environment.document["project"].get("enable_realtime_updates", True):
            raise Forbidden("Real-time updates are off in this project.")
        try:
            listener, epoch = state.listen()
        except TooManyStreamsError:
            raise ServiceUnavailable("There are too many streams.") from None
        parts = _parts(listener, epoch, options, request.environ.get("werkzeug.socket"))
        response = Response(parts, mimetype="text/event-stream")
        response.headers["Cache-Control"] = "no-store"
        # Not in the generator: it is not entered if the client is gone before it starts.
        response.call_on_close(lambda: state.listeners.leave(listener))
        return response


def event(epoch: float) -> str:
    """Formats an event as it goes over the wire."""
    data = json.dumps({"updated_at": epoch})
    return f"event: environment_updated\nretry: {RETRY_MILLISECONDS}\ndata: {data}\n\n"


def _parts(
    listener: Listener, epoch: float, options: StreamOptions, connection: socket.socket | None
) -> Iterator[str]:
    """Yields what is sent, until the stream's time is over, it is ended, or the client is gone."""
    # The first bytes take the headers along, so that the client knows that it is connected.
    yield event(epoch) if options.greeting else ": welcome\n\n"
    now = time.monotonic()
    end, heartbeat = now + options.recycle_seconds, now + options.heartbeat_seconds
    with _watched(connection) as watch:
        while now < end and not _is_gone(watch, connection):
            try:
                announced = listener.take(min(end, heartbeat, now + _LOOK_SECONDS) - now)
            except queue.Empty:
                now = time.monotonic()
                if now >= heartbeat:
                    yield ": heartbeat\n\n"
                    heartbeat = now + options.heartbeat_seconds
                continue
            if announced is None:
                return
            yield event(announced)
            now = time.monotonic()


@contextmanager
def _watched(connection: socket.socket | None) -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as watch:
        if connection is not None:
            watch.register(connection, selectors.EVENT_READ)
        yield watch


def _is_gone(watch: selectors.BaseSelector, connection: socket.socket | None) -> bool:
    """Returns whether the client has closed its end: it never sends anything more on a stream."""
    if connection is None:
        return False
    try:
        return bool(watch.select(0)) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True
