"""The stream through real sockets: prompt, bounded, and ended by whatever is wrong with it."""

from __future__ import annotations

import json
import threading
import tracemalloc
from typing import Any

import pytest

from flask_flagsmith_realtime.client import Sockets
from flask_flagsmith_realtime.client import Stream as ClientStream
from flask_flagsmith_realtime.client.stream import (
    ChangeEvent,
    MalformedEvent,
    StreamError,
    StreamProtocolError,
    StreamRefusedError,
)
from flask_flagsmith_realtime.config.settings import read_config
from tests.support.misbehaving import (
    END,
    RESET,
    SILENT,
    MisbehavingFlagsmith,
    Stream,
    answers,
    data_event,
    endless,
    event,
)
from tests.support.misbehaving.answers import Behaviour, Call
from tests.support.waiting import PATIENCE_SECONDS

BOM = b"\xef\xbb\xbf"
EPOCH = 1673546928.02806


def open_stream(
    flagsmith: MisbehavingFlagsmith, sockets: Sockets | None = None, **settings: Any
) -> ClientStream:
    """Open the stream. Settings are given without their prefix."""
    given_settings = {f"FLAGSMITH_{name}": value for name, value in settings.items()}
    config = read_config({**flagsmith.config, **given_settings})
    return ClientStream(config, flagsmith.client_side_key, sockets or Sockets())


def saying(*content: bytes, **kind: Any) -> Stream:
    """A stream that says something and ends."""
    return Stream(greeting=None, opening=b"".join(content), lasts=0.0, **kind)


def read_all(flagsmith: MisbehavingFlagsmith, behaviour: Stream | Behaviour) -> list[Any]:
    """Read a stream to its end."""
    flagsmith.stream.next(behaviour)
    with open_stream(flagsmith) as stream:
        return list(stream.events())


# Promptness: each event is there with its last byte, though the connection stays open


@pytest.mark.parametrize("piece", [None, 1])
@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_event_waits_for_no_further_bytes(
    flagsmith: MisbehavingFlagsmith, chunked: bool, gzipped: bool, piece: int | None
) -> None:
    flagsmith.stream.next(Stream(chunked=chunked, gzipped=gzipped, piece=piece))
    with open_stream(flagsmith, STREAM_TIMEOUT_SECONDS=PATIENCE_SECONDS) as stream:
        events = stream.events()
        assert next(events) == ChangeEvent(flagsmith.truth.version.epoch, 15.0)
        for value in range(3):
            epoch = flagsmith.change("banner_text", value=str(value))
            assert next(events) == ChangeEvent(epoch, 15.0)
        flagsmith.say(END)
        assert list(events) == []


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("piece", [None, 1])
def test_every_line_end_ends_a_line_at_once(
    flagsmith: MisbehavingFlagsmith, end: bytes, piece: int | None
) -> None:
    flagsmith.stream.next(Stream(greeting=None, piece=piece))
    with open_stream(flagsmith, STREAM_TIMEOUT_SECONDS=PATIENCE_SECONDS) as stream:
        events = stream.events()
        for epoch in (1.0, 2.0):
            flagsmith.wait_for_streams()
            flagsmith.say(event(epoch).replace(b"\n", end))
            assert next(events) == ChangeEvent(epoch, 15.0)


def test_a_burst_comes_whole_and_in_order(flagsmith: MisbehavingFlagsmith) -> None:
    burst = b"".join(event(float(epoch), None) for epoch in range(5000))
    assert read_all(flagsmith, saying(burst)) == [ChangeEvent(float(n)) for n in range(5000)]


# Whatever an event may look like


def test_every_form_that_the_standard_allows(flagsmith: MisbehavingFlagsmith) -> None:
    content = [
        BOM,
        b": a comment\r\n\r\n",
        b'event: environment_updated\rdata: {"updated_at":\ndata: 1.5}\r\n\r',
        b'data: {"updated_at": 2.5}\n\r\n',
        b'event: something_else\ndata: {"updated_at": 3.5}\n\n',
        b'unknown: field\nid: 4\nretry: 2500\ndata:{"updated_at":4.5,"more":[]}\r\r',
        b'retry: soon\ndata: {"updated_at": 5.5}\n\n',
        b'data: {"updated_at": 6.5}',
    ]
    assert read_all(flagsmith, saying(*content)) == [
        ChangeEvent(1.5),
        ChangeEvent(2.5),
        ChangeEvent(4.5, 2.5),
        ChangeEvent(5.5),
    ]


@pytest.mark.parametrize(
    ("value", "epoch"),
    [
        (EPOCH, EPOCH),
        (1673546928, 1673546928.0),
        (1673546928028, 1673546928.028),
        (3133690620000, 3133690620.0),
        ("1673546928.02806", EPOCH),
        (None, None),
        (0, 0.0),
        (99_999_999_999, 99_999_999_999.0),
    ],
)
def test_epochs_in_every_form(
    flagsmith: MisbehavingFlagsmith, value: Any, epoch: float | None
) -> None:
    assert read_all(flagsmith, saying(event(value))) == [ChangeEvent(epoch, 15.0)]


def test_an_event_without_an_epoch(flagsmith: MisbehavingFlagsmith) -> None:
    assert read_all(flagsmith, saying(data_event("{}"))) == [ChangeEvent(None)]


@pytest.mark.parametrize(
    "data",
    [
        "",
        "nonsense",
        "{",
        "null",
        "[]",
        "1673546928",
        '"text"',
        *(json.dumps({"updated_at": value}) for value in (True, [], {}, "", "soon", -1, [1.5])),
        '{"updated_at": NaN}',
        '{"updated_at": 1e999}',
        '{"updated_at": -Infinity}',
        '{"updated_at": ' + "9" * 5000 + "}",
        "[" * 100_000,
    ],
)
def test_an_event_that_cannot_be_read_hides_no_other(
    flagsmith: MisbehavingFlagsmith, data: str
) -> None:
    unreadable, announcement = read_all(flagsmith, saying(data_event(data), event(EPOCH)))
    assert isinstance(unreadable, MalformedEvent)
    assert len(unreadable.reason) < 200
    assert announcement == ChangeEvent(EPOCH, 15.0)


# What ends a connection


@pytest.mark.parametrize(
    "piece", [b"data: x", b"data: " + b"x" * 250 + b"\r\n", BOM], ids=["line", "event", "marks"]
)
def test_memory_is_bounded(flagsmith: MisbehavingFlagsmith, piece: bytes) -> None:
    flagsmith.stream.next(endless(piece))
    tracemalloc.start()
    try:
        with (
            open_stream(flagsmith) as stream,
            pytest.raises(StreamProtocolError, match="larger than 1 MiB"),
        ):
            list(stream.events())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20
    (request,) = flagsmith.stream.requests
    flagsmith.wait_for(lambda: request.ended_at is not None)
    # What lies in the sockets' buffers counts, too.
    assert request.sent < 32 * 2**20


def test_a_compressed_bomb_is_bounded(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.stream.next(saying(bytes(64 * 2**20), gzipped=True))
    with open_stream(flagsmith) as stream, pytest.raises(StreamProtocolError):
        list(stream.events())


def test_bytes_that_are_not_utf_8_end_it(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.stream.next(saying(event(EPOCH), b"data: \xff\xfe\n\n"))
    with open_stream(flagsmith) as stream:
        events = stream.events()
        assert next(events) == ChangeEvent(EPOCH, 15.0)
        with pytest.raises(StreamProtocolError, match="UTF-8"):
            next(events)


def test_a_reset_in_the_middle_of_an_event_ends_it(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.stream.next(Stream(greeting=None))
    with open_stream(flagsmith) as stream:
        flagsmith.wait_for_streams()
        flagsmith.say(event(1.0), event(2.0)[:-5])
        events = stream.events()
        assert next(events) == ChangeEvent(1.0, 15.0)
        flagsmith.say(RESET)
        with pytest.raises(StreamError, match="reset"):
            next(events)


def test_chunks_that_are_cut_off_end_it(flagsmith: MisbehavingFlagsmith) -> None:
    def cut_off(call: Call) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked"
        call.exchange.send(head + b"\r\n\r\n40\r\ndata: {}\n\n")
        call.exchange.end()

    flagsmith.stream.next(cut_off)
    with open_stream(flagsmith) as stream, pytest.raises(StreamError, match="cut off"):
        list(stream.events())


def test_silence_ends_it(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.stream.next(SILENT)
    with (
        open_stream(flagsmith, STREAM_TIMEOUT_SECONDS=3.0) as stream,
        pytest.raises(StreamError, match="silent for too long"),
    ):
        list(stream.events())
    flagsmith.wait_for_streams(0)


# What is no stream


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (answers.status(401), "401 Unauthorized"),
        (answers.status(403), "403 Forbidden"),
        (answers.status(404), "404 Not Found"),
        (answers.status(204), "204 No Content"),
        (answers.status(304), "304 Not Modified"),
        (answers.html(200), "'text/html; charset=utf-8' instead of events"),
        (answers.status(200, {}), "'no content type'"),
        (answers.status(200, {"Content-Type": "x" * 50_000}), "xxxx"),
    ],
)
def test_a_refusal(flagsmith: MisbehavingFlagsmith, behaviour: Behaviour, words: str) -> None:
    flagsmith.stream.next(behaviour)
    with pytest.raises(StreamRefusedError) as caught:
        open_stream(flagsmith)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 200
    assert caught.value.retry_after is None
    flagsmith.wait_for(lambda: flagsmith.stream_server.connections == 0)


@pytest.mark.parametrize("code", [429, 503])
def test_a_retry_after_is_kept(flagsmith: MisbehavingFlagsmith, code: int) -> None:
    flagsmith.stream.next(answers.status(code, {"Retry-After": "7"}))
    with pytest.raises(StreamError, match=str(code)) as caught:
        open_stream(flagsmith)
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("code", [408, 429, 500, 502, 599])
def test_a_temporary_failure(flagsmith: MisbehavingFlagsmith, code: int) -> None:
    flagsmith.stream.next(answers.html(code))
    with pytest.raises(StreamError, match=str(code)) as caught:
        open_stream(flagsmith)
    assert type(caught.value) is StreamError


def test_a_refused_connection(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.stream_server.refuse()
    with pytest.raises(StreamError, match="connection refused"):
        open_stream(flagsmith)


def test_a_type_with_parameters_is_a_stream(flagsmith: MisbehavingFlagsmith) -> None:
    content_type = "Text/Event-Stream; charset=UTF-8"
    behaviour = saying(event(EPOCH), content_type=content_type)
    assert read_all(flagsmith, behaviour) == [ChangeEvent(EPOCH, 15.0)]


# Where it asks, and what it carries there


def test_the_request_carries_no_credentials(flagsmith: MisbehavingFlagsmith) -> None:
    with open_stream(flagsmith, CUSTOM_HEADERS={"X-Gateway": "for the API only"}):
        pass
    (request,) = flagsmith.stream.requests
    assert request.path == f"/sse/environments/{flagsmith.client_side_key}/stream"
    assert request.headers["accept"] == "text/event-stream"
    assert not {"x-environment-key", "x-gateway", "authorization", "cookie"} & {*request.headers}
    assert flagsmith.leaks == []


def test_a_stream_on_the_apis_own_origin_gets_the_gateways_headers(
    flagsmith: MisbehavingFlagsmith,
) -> None:
    with pytest.raises(StreamRefusedError):
        open_stream(
            flagsmith,
            REALTIME_API_URL=flagsmith.api_server.origin,
            CUSTOM_HEADERS={"X-Gateway": "let me in", "accept": "anything"},
        )
    (request,) = flagsmith.other.requests
    assert request.headers["x-gateway"] == "let me in"
    assert request.headers["accept"] == "text/event-stream"
    assert "x-environment-key" not in request.headers


def test_a_server_side_key_is_never_part_of_the_request(flagsmith: MisbehavingFlagsmith) -> None:
    config = read_config(flagsmith.config)
    with pytest.raises(StreamRefusedError, match="server-side key"):
        ClientStream(config, flagsmith.server_side_key, Sockets())
    assert flagsmith.stream.count == 0


def test_an_odd_environment_id_stays_one_part_of_the_path(flagsmith: MisbehavingFlagsmith) -> None:
    config = read_config(flagsmith.config)
    with ClientStream(config, "../a b/ü?x#y", Sockets()):
        pass
    (request,) = flagsmith.stream.requests
    assert request.path == "/sse/environments/..%2Fa%20b%2F%C3%BC%3Fx%23y/stream"


def test_a_redirect_is_followed_on_its_own_origin_only(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.stream.next(answers.redirect("/elsewhere", 307), Stream())
    with open_stream(flagsmith) as stream:
        next(stream.events())
    flagsmith.stream.next(answers.redirect("//127.0.0.1:1/"))
    with pytest.raises(StreamRefusedError, match="another origin"):
        open_stream(flagsmith)


# Another thread ends it


@pytest.mark.parametrize(
    "behaviour",
    [SILENT, Stream(chunked=False), Stream(gzipped=True), answers.hang],
    ids=["chunked", "unframed", "compressed", "without an answer"],
)
def test_ended_sockets_end_a_reader_that_waits(
    flagsmith: MisbehavingFlagsmith, behaviour: Stream | Behaviour
) -> None:
    flagsmith.stream.next(behaviour)
    sockets = Sockets()

    def read() -> None:
        try:
            with open_stream(flagsmith, sockets, STREAM_TIMEOUT_SECONDS=600) as stream:
                list(stream.events())
        except StreamError:
            pass

    reader = threading.Thread(target=read)
    reader.start()
    flagsmith.wait_for(lambda: flagsmith.stream.count == 1)
    sockets.end()
    reader.join(PATIENCE_SECONDS)
    assert not reader.is_alive()
    flagsmith.wait_for(lambda: flagsmith.stream_server.connections == 0)
