"""Flagsmith's stream: opens it, and reads it as an iterator of what it announces.

The protocol is server-sent events: ``GET {realtime_api_url}sse/environments/{id}/stream`` without
credentials; ``event: environment_updated`` with ``data: {"updated_at": <epoch>}``. Everything that
is wrong with a stream ends its connection with a :class:`StreamError`, so that the caller opens a
new one and catches up: no detail of parsing can lose a change.

A :class:`Stream` belongs to the listener's thread. Another thread ends it by its
:class:`~flask_flagsmith_realtime.http.Sockets`, also while it is being opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, urljoin

import requests
import sseclient
import urllib3

from ..config import SERVER_SIDE_PREFIX, Config
from ..model import parse_event
from . import http

#: The events that announce a change; an event without a name is a 'message'.
_EVENTS = ("environment_updated", "message")
_LARGEST_EVENT_BYTES = 1024 * 1024
_READ_BYTES = 65536
_BOM = b"\xef\xbb\xbf"


class StreamError(Exception):
    """The stream cannot be opened, or broke. The message says why, without the key."""


class StreamRefusedError(StreamError):
    """The server said no, and will again: the plan or the project has no stream.

    :param retry_after: how long it asked to be left alone, in seconds.
    """

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StreamOverloadedError(StreamError):
    """The server asked to come back later.

    :param retry_after: after how many seconds.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StreamProtocolError(StreamError):
    """What came is no event stream, although it was said to be one."""


@dataclass(frozen=True)
class ChangeEvent:
    """An event.

    :param epoch: the epoch that it names; ``None`` if it names none.
    :param retry: the delay in seconds that it asks for before reconnecting, if it asks.
    """

    epoch: float | None
    retry: float | None = None


@dataclass(frozen=True)
class MalformedEvent:
    """An event that announces something, but not an epoch.

    :param reason: what is wrong with it.
    """

    reason: str


class Stream:
    """One connection to an environment's stream.

    :param config: the app's settings.
    :param environment_id: the environment's client-side key.
    :param sockets: where its socket is remembered.
    :raises StreamError: while it is opened.
    """

    def __init__(self, config: Config, environment_id: str, sockets: http.Sockets) -> None:
        if environment_id.startswith(SERVER_SIDE_PREFIX):
            raise StreamRefusedError(
                "the environment document names a server-side key as the environment's id, which "
                "must never be part of a stream's URL",
                None,
            )
        self._sockets = sockets
        self._session = http.make_session(config, sockets)
        try:
            self._response = self._open(config, environment_id)
        except BaseException:
            self._session.close()
            raise

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        # A process forked meanwhile may hold a copy; without this the server would not see the end.
        self._sockets.shut_down()
        self._response.close()
        self._session.close()

    def events(self) -> Iterator[ChangeEvent | MalformedEvent]:
        """Read the events as they come, until the server ends the connection.

        :raises StreamError: if the connection breaks, is silent for too long, or sends what is no
            event stream.
        """
        try:
            for event in sseclient.SSEClient(event_blocks(self._chunks())).events():
                if event.event not in _EVENTS:
                    continue
                try:
                    epoch = parse_event(event.data)
                except json.JSONDecodeError:
                    yield MalformedEvent("the data is not JSON")
                except ValueError as error:
                    yield MalformedEvent(str(error))
                else:
                    yield ChangeEvent(epoch, _retry_seconds(event.retry))
        except UnicodeDecodeError:
            raise StreamProtocolError("it sent bytes that are not UTF-8") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise StreamError(_broken(error)) from None

    def _open(self, config: Config, environment_id: str) -> requests.Response:
        url = urljoin(
            config.realtime_api_url, f"sse/environments/{quote(environment_id, safe='')}/stream"
        )
        headers = {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-store",
        }
        if http.origin(url) == http.origin(config.api_url):
            # Headers for a gateway; elsewhere they might be somebody else's secrets.
            headers = {**config.custom_headers, **headers}
        timeout = (config.request_timeout_seconds, config.stream_timeout_seconds)
        try:
            response = http.get_within_origin(self._session, url, headers, timeout)
        except http.CrossOriginRedirectError as error:
            raise StreamRefusedError(http.describe_failure(error), None) from None
        except (requests.RequestException, OSError, ValueError) as error:
            raise StreamError(http.describe_failure(error)) from None
        try:
            _check(response)
        except StreamError:
            response.close()
            raise
        return response

    def _chunks(self) -> Iterator[bytes]:
        """What has arrived, as soon as it has: also from a response without any framing."""
        while chunk := self._response.raw.read1(_READ_BYTES, decode_content=True):
            yield chunk


def event_blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a stream of bytes into whole events, each ended by an empty line.

    Follows the HTML standard's 'interpreting an event stream': lines end with LF, CR or CRLF, mixed
    at will and split between chunks at will; one byte order mark may stand first; what follows the
    last empty line is no event. The blocks have LF as line ends, and no comments.

    :raises StreamProtocolError: if a line or an event is larger than 1 MiB.
    """
    block = bytearray()
    line = bytearray()
    at_start = True
    after_cr = False
    for chunk in chunks:
        # A CR ends its line at once; should an LF follow, it belongs to that CR.
        if after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            after_cr = False
        for piece in chunk.splitlines(keepends=True):
            after_cr = False
            ending = piece[-1:]
            line += piece.rstrip(b"\r\n")
            if len(block) + len(line) > _LARGEST_EVENT_BYTES:
                raise StreamProtocolError("it sent an event larger than 1 MiB")
            if ending not in (b"\r", b"\n"):
                continue
            after_cr = ending == b"\r"
            if at_start:
                at_start = False
                if line.startswith(_BOM):
                    del line[: len(_BOM)]
            if line:
                # Comments, which keep a connection alive, need not be part of an event.
                if not line.startswith(b":"):
                    block += line + b"\n"
                line.clear()
            elif block:
                yield bytes(block) + b"\n"
                block.clear()


def _check(response: requests.Response) -> None:
    """Tell a stream from a refusal and from a passing failure."""
    status = response.status_code
    retry_after = http.retry_after_seconds(response)
    content_type = response.headers.get("Content-Type", "")
    if status == 200 and content_type.split(";")[0].strip().lower() == "text/event-stream":
        return
    if status == 200:
        kind = content_type or "no content type"
        raise StreamRefusedError(f"it answers with {kind[:80]!r} instead of events", retry_after)
    answer = f"it answers {http.status_text(response)}"
    if status in (408, 425, 429) or status >= 500:
        if retry_after is not None:
            raise StreamOverloadedError(answer, retry_after)
        raise StreamError(answer)
    raise StreamRefusedError(answer, retry_after)


def _retry_seconds(retry: str | None) -> float | None:
    """Read an event's ``retry:``, whole milliseconds; anything else is to be ignored."""
    if retry is None or not (retry.isascii() and retry.isdigit()) or len(retry) > 12:
        return None
    return int(retry) / 1000


def _broken(error: Exception) -> str:
    reason = http.describe_failure(error)
    return "it was silent for too long" if reason == "no answer in time" else reason
