"""Flagsmith's stream: opens a connection and reads the changes that it announces.

The protocol is server-sent events: ``GET {realtime_api_url}sse/environments/{id}/stream`` without
credentials; ``event: environment_updated`` with ``data: {"updated_at": <epoch>}``. Any violation of
it ends the connection with a :class:`StreamError`; the caller then reconnects and fetches, so that
no detail of parsing can lose a change.

A :class:`Stream` belongs to the listener's thread. Another thread ends it through its
:class:`.Sockets`, also while it is being opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote, urljoin

import msgspec
import requests
import urllib3

from ..config import SERVER_SIDE_PREFIX, Config
from ..model import parse_event
from .failures import CrossOriginRedirectError, describe_failure, retry_after_seconds, status_text
from .session import get_within_origin, make_session, origin
from .sockets import Sockets
from .sse import ServerSentEvent, SSEProtocolError, read_events

#: The events that announce a change; an event without a name is a 'message'.
_CHANGE_EVENTS = ("environment_updated", "message")
_READ_BYTES = 65536


class StreamError(Exception):
    """The stream cannot be opened, or broke.

    :param message: the reason, without the key.
    :param retry_after: the delay in seconds that the server asked for; ``None`` if it did not.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StreamRefusedError(StreamError):
    """The server refuses the stream permanently: the plan or the project does not include it."""


class StreamProtocolError(StreamError):
    """The answer has the content type of an event stream, but its bytes are not one."""


class ChangeEvent(msgspec.Struct, frozen=True):
    """An event that announces a change of the environment.

    :param epoch: the epoch of the change; ``None`` if the event has none.
    :param retry: the delay in seconds before a reconnect that it asks for, if it does.
    """

    epoch: float | None
    retry: float | None = None


class MalformedEvent(msgspec.Struct, frozen=True):
    """An event of the right name whose data is not valid.

    :param reason: what is wrong with it.
    """

    reason: str


class Stream:
    """One connection to an environment's stream.

    :param environment_id: the environment's client-side key.
    :param sockets: registers the connection's socket.
    :raises StreamError: if it cannot be opened.
    """

    def __init__(self, config: Config, environment_id: str, sockets: Sockets) -> None:
        if environment_id.startswith(SERVER_SIDE_PREFIX):
            raise StreamRefusedError(
                "the environment document names a server-side key as the environment's id, which "
                "must never be part of a stream's URL"
            )
        self._sockets = sockets
        self._session = make_session(config, sockets)
        try:
            self._response = self._open(config, environment_id)
        except BaseException:
            self._session.close()
            raise

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        # A process forked meanwhile may hold a copy of the socket, so close() alone ends nothing.
        self._sockets.shut_down()
        self._response.close()
        self._session.close()

    def events(self) -> Iterator[ChangeEvent | MalformedEvent]:
        """Reads the events as they come, until the server ends the connection.

        :raises StreamError: if the connection breaks, is silent for too long, or sends bytes that
            are not an event stream.
        """
        try:
            for event in read_events(self._chunks()):
                if event.name in _CHANGE_EVENTS:
                    yield _parse(event)
        except SSEProtocolError as error:
            raise StreamProtocolError(f"it sent {error}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise StreamError(_describe_break(error)) from None

    def _open(self, config: Config, environment_id: str) -> requests.Response:
        url = urljoin(
            config.realtime_api_url, f"sse/environments/{quote(environment_id, safe='')}/stream"
        )
        headers = {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-store",
        }
        if origin(url) == origin(config.api_url):
            # They are meant for a gateway of the API, and may be secret: no other origin gets them.
            headers = {**config.custom_headers, **headers}
        timeout = (config.request_timeout_seconds, config.stream_timeout_seconds)
        try:
            response = get_within_origin(self._session, url, headers, timeout)
        except CrossOriginRedirectError as error:
            raise StreamRefusedError(describe_failure(error)) from None
        except (OSError, ValueError) as error:
            raise StreamError(describe_failure(error)) from None
        try:
            _check(response)
        except StreamError:
            response.close()
            raise
        return response

    def _chunks(self) -> Iterator[bytes]:
        """Reads bytes as soon as they arrive, also from a response without chunks and length."""
        while chunk := self._response.raw.read1(_READ_BYTES, decode_content=True):
            yield chunk


def _check(response: requests.Response) -> None:
    """Raises the error for an answer that is not a stream: a permanent or a temporary one."""
    status = response.status_code
    retry_after = retry_after_seconds(response)
    content_type = response.headers.get("Content-Type", "")
    if status == 200 and content_type.split(";")[0].strip().lower() == "text/event-stream":
        return
    if status == 200:
        kind = content_type or "no content type"
        raise StreamRefusedError(f"it answers with {kind[:80]!r} instead of events", retry_after)
    answer = f"it answers {status_text(response)}"
    if status in (408, 425, 429) or status >= 500:
        raise StreamError(answer, retry_after)
    raise StreamRefusedError(answer, retry_after)


def _parse(event: ServerSentEvent) -> ChangeEvent | MalformedEvent:
    try:
        return ChangeEvent(parse_event(event.data), event.retry_seconds)
    except ValueError as error:
        return MalformedEvent(str(error))


def _describe_break(error: Exception) -> str:
    reason = describe_failure(error)
    return "it was silent for too long" if reason == "no answer in time" else reason
