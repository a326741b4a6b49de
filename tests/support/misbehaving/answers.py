"""Behaviours of the API: the right answer, and faults.

A behaviour is a callable that answers a :class:`.Call`. Some functions here are behaviours
(``truth``, ``hang``); those with parameters return one (``older(3)``, ``status(500)``).
"""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .truth import CLIENT_SIDE_KEY, SERVER_SIDE_KEY, Truth, Version
from .wire import Exchange, head

EPOCH_HEADER = "X-Flagsmith-Document-Updated-At"

JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html; charset=utf-8"}
PAGE = b"<!doctype html><title>Something went wrong</title><p>Something went wrong."

#: The moment that :func:`in_the_future` claims.
FUTURE = datetime(9999, 1, 1, tzinfo=timezone.utc)
#: The value of each feature in the document of another environment.
ANOTHER_ENVIRONMENT = "of another environment"

_PIECE = b" " * 65536


@dataclass(frozen=True)
class Call:
    """A call of the API, to be answered.

    :param exchange: the request, and the means to answer it.
    :param truth: the environment.
    """

    exchange: Exchange
    truth: Truth

    @property
    def resource(self) -> str:
        """The resource, such as ``environment-document/``."""
        return urlsplit(self.exchange.request.path).path.removeprefix("/api/v1/")


Behaviour = Callable[[Call], None]


def truth(call: Call) -> None:
    """Answer with the newest version."""
    _answer(call, call.truth.version, call.truth.version.epoch)


def serving(version: Version) -> Behaviour:
    """Answer with one version, even if it is not the newest."""
    return lambda call: _answer(call, version, version.epoch)


def older(seconds: float) -> Behaviour:
    """Answer as a replica that lags: with the version of so many seconds ago."""

    def lag(call: Call) -> None:
        version = call.truth.version_before(seconds)
        _answer(call, version, version.epoch)

    return lag


def lagging_header(seconds: float) -> Behaviour:
    """Answer with the newest flags, and in the header the epoch of so many seconds ago."""
    return lambda call: _answer(call, call.truth.version, call.truth.version_before(seconds).epoch)


def by_turns(*behaviours: Behaviour) -> Behaviour:
    """Use behaviours by turns, like replicas behind a load balancer."""
    turns = itertools.cycle(behaviours)
    return lambda call: next(turns)(call)


def by_connection(*behaviours: Behaviour) -> Behaviour:
    """One for each connection in turn: replicas behind a balancer that balances connections."""
    return lambda call: behaviours[(call.exchange.request.connection - 1) % len(behaviours)](call)


def once_per_connection() -> Behaviour:
    """A server that closes each connection that is kept open at its next request."""
    answered: set[int] = set()

    def answer(call: Call) -> None:
        connection = call.exchange.request.connection
        (vanish if connection in answered else truth)(call)
        answered.add(connection)

    return answer


def for_a_while(seconds: float, behaviour: Behaviour, afterwards: Behaviour = truth) -> Behaviour:
    """Use one behaviour for so many seconds after the first call, then another."""
    until: list[float] = []

    def decide(call: Call) -> None:
        if not until:
            until.append(time.monotonic() + seconds)
        (behaviour if time.monotonic() < until[0] else afterwards)(call)

    return decide


def status(code: int, headers: Mapping[str, str] = JSON, body: bytes = b"{}") -> Behaviour:
    """Answer with a status."""
    return lambda call: call.exchange.answer(code, b"" if code == 204 else body, headers)


def html(code: int) -> Behaviour:
    """Answer with a proxy's page of HTML."""
    return status(code, HTML, PAGE)


def body(content: bytes, headers: Mapping[str, str] = JSON) -> Behaviour:
    """Answer 200 with any bytes."""
    return status(200, headers, content)


def mangled(mangle: Callable[[Any], Any]) -> Behaviour:
    """Answer with a copy of the right content that ``mangle`` has changed or replaced."""

    def answer(call: Call) -> None:
        content = copy.deepcopy(_content(call, call.truth.version))
        replaced = mangle(content)
        text = json.dumps(content if replaced is None else replaced)
        call.exchange.answer(200, text.encode(), JSON)

    return answer


def of_another_environment(call: Call) -> None:
    """The document of another environment, as from a cache that ignores the key.

    Nothing else names its environment; there it is the right answer.
    """
    named = call.resource == "environment-document/"
    (mangled(_move_to_another_environment) if named else truth)(call)


def _move_to_another_environment(document: dict[str, Any]) -> None:
    document["api_key"] = "AnotherClientSideKey"
    for state in document["feature_states"]:
        state["feature_state_value"] = ANOTHER_ENVIRONMENT


def in_the_future(call: Call) -> None:
    """The right answer, dated in the year 9999: in the document and in the header."""
    version = call.truth.version
    document = {**version.document, "updated_at": FUTURE.isoformat()}
    _answer(call, replace(version, document=document), FUTURE.timestamp())


def forbid(call: Call) -> None:
    """Refuse the key, as Flagsmith does."""
    call.exchange.answer(403, b'{"detail": "Invalid or missing Environment key"}', JSON)


def too_many(retry_after: str) -> Behaviour:
    """Answer 429 with Retry-After, which may be a date (:func:`date_in`)."""
    return status(429, {**JSON, "Retry-After": retry_after})


def date_in(seconds: float) -> str:
    """Return the time in so many seconds, as a header writes it."""
    return formatdate(time.time() + seconds, usegmt=True)


def redirect(url: str, code: int = 302) -> Behaviour:
    """Answer with a redirect."""
    return status(code, {"Location": url}, b"")


def pages(size: int = 1) -> Behaviour:
    """Answer with pages of so many identity overrides, linked by Link headers."""

    def page(call: Call) -> None:
        start = _page_id(call)
        overrides = call.truth.version.document["identity_overrides"]
        is_last = start + size >= len(overrides)
        _answer_page(call, overrides[start : start + size], None if is_last else start + size)

    return page


def endless_pages(call: Call) -> None:
    """The environment document in pages, each of which names a further one."""
    _answer_page(call, call.truth.version.document["identity_overrides"], _page_id(call) + 1)


def _page_id(call: Call) -> int:
    query = parse_qs(urlsplit(call.exchange.request.path).query)
    return int(query.get("page_id", ["0"])[0])


def _answer_page(call: Call, overrides: list[Any], following: int | None) -> None:
    link = {}
    if following is not None:
        link = {"Link": f'</api/v1/{call.resource}?page_id={following}>; rel="next"'}
    content = {**call.truth.version.document, "identity_overrides": overrides}
    call.exchange.answer(200, json.dumps(content).encode(), {**JSON, **link})


def cut_off(call: Call) -> None:
    """Send half of the body, then close the connection."""
    _send_half(call)
    call.exchange.end()


def reset(call: Call) -> None:
    """Send half of the body, then reset the connection."""
    _send_half(call)
    call.exchange.reset()


def vanish(call: Call) -> None:
    """Close the connection without an answer."""
    call.exchange.end()


def hang(call: Call) -> None:
    """Never answer."""
    call.exchange.wait()


def hang_in_body(call: Call) -> None:
    """Send half of the body, and never the rest."""
    _send_half(call)
    call.exchange.wait()


def drip(beginning: bytes, drop: bytes) -> Behaviour:
    """Send the beginning of an answer, then the same bytes again and again, without end."""

    def answer(call: Call) -> None:
        call.exchange.send(beginning)
        while True:
            call.exchange.send(drop)
            call.exchange.wait(0.01)

    return answer


#: Answers that never end, by name.
DRIPS = {
    "head in drops": drip(b"HTTP/1.1 200 OK\r\nX-Padding: ", b"a"),
    "endless continue": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body in drops": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
    "body without length in drops": drip(b"HTTP/1.1 200 OK\r\n\r\n[]", b" "),
    "size of a chunk in drops": drip(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"
    ),
    "gzip in drops": drip(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\0", b"a"
    ),
}


def slow(seconds: float) -> Behaviour:
    """Answer late."""

    def answer(call: Call) -> None:
        call.exchange.wait(seconds)
        truth(call)

    return answer


def huge(size: int = 200 * 2**20, *, announced: bool = True) -> Behaviour:
    """Answer with a body of 200 MiB.

    :param announced: whether there is a Content-Length.
    """

    def answer(call: Call) -> None:
        length = [("Content-Length", str(size))] if announced else [("Connection", "close")]
        call.exchange.send(head(200, [*JSON.items(), *length]))
        for _ in range(size // len(_PIECE)):
            call.exchange.send(_PIECE)
        call.exchange.end()

    return answer


def _answer(call: Call, version: Version, epoch: float) -> None:
    key = call.exchange.request.headers.get("x-environment-key")
    wanted = [SERVER_SIDE_KEY, CLIENT_SIDE_KEY]
    if key not in wanted[:1] if call.resource == "environment-document/" else key not in wanted:
        forbid(call)
        return
    if call.resource == "environment-document/":
        text = version.body
    else:
        text = json.dumps(_content(call, version)).encode()
    call.exchange.answer(200, text, {**JSON, EPOCH_HEADER: repr(epoch)})


def _content(call: Call, version: Version) -> Any:
    if call.resource == "environment-document/":
        return version.document
    if call.resource == "flags/":
        return version.flags()
    if call.resource == "identities/":
        request = call.exchange.request
        asked = json.loads(request.body) if request.method == "POST" else {}
        query = parse_qs(urlsplit(request.path).query)
        identifier = asked.get("identifier") or query.get("identifier", [""])[0]
        return {
            "identifier": identifier,
            "traits": asked.get("traits", []),
            "flags": version.flags(identifier),
        }
    return {}


def _send_half(call: Call) -> None:
    text = call.truth.version.body
    call.exchange.send(head(200, [*JSON.items(), ("Content-Length", str(len(text)))]))
    call.exchange.send(text[: len(text) // 2])
