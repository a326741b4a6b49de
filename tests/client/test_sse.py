"""Bytes to events: any split of the bytes gives the events that the HTML standard defines."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Any

import pytest
import sseclient
from hypothesis import given
from hypothesis import strategies as st

from flask_flagsmith_realtime.client.sse import (
    ServerSentEvent,
    SSEProtocolError,
    event_blocks,
    read_events,
)

BOM = b"\xef\xbb\xbf"


def reference_blocks(whole: bytes) -> list[bytes]:
    """The same by another way: all at once, with a regular expression."""
    *lines, _ = re.split(rb"\r\n|\r|\n", whole.removeprefix(BOM))
    blocks, block = [], []
    for line in lines:
        if line and not line.startswith(b":"):
            block.append(line + b"\n")
        elif not line and block:
            blocks.append(b"".join([*block, b"\n"]))
            block = []
    return blocks


line_ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
lines = st.sampled_from(
    [
        b"",
        b"data: 1",
        b"data:{}",
        b"data",
        b"event: e",
        b"id: 7",
        b"retry: 15",
        b": hi",
        BOM,
        b"\xff",
    ]
)
streams = st.lists(st.tuples(lines, line_ends)).map(
    lambda parts: b"".join(itertools.chain.from_iterable(parts))
) | st.binary(max_size=40)


@st.composite
def split(draw: st.DrawFn, wholes: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """Bytes, and the same in pieces, some of them empty."""
    whole = draw(wholes)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    return whole, [whole[a:b] for a, b in itertools.pairwise([0, *cuts, len(whole)])]


@given(split(streams))
def test_any_split_of_any_bytes_gives_the_same_events(case: tuple[bytes, list[bytes]]) -> None:
    whole, pieces = case
    assert list(event_blocks(pieces)) == reference_blocks(whole)
    assert list(event_blocks([whole[i : i + 1] for i in range(len(whole))])) == list(
        event_blocks([whole])
    )


plain_events = st.lists(
    st.lists(
        st.sampled_from(["data: 1", "data:  two", "data", "event: e", "id: 7", "retry: 9", ": hi"]),
        min_size=1,
    )
)


@st.composite
def plain_streams(draw: st.DrawFn) -> bytes:
    """Streams that sseclient-py reads as the standard wants it: one kind of line end."""
    end = draw(st.sampled_from(["\n", "\r", "\r\n"]))
    return "".join(end.join([*event_lines, "", ""]) for event_lines in draw(plain_events)).encode()


def parse(chunks: Iterable[bytes]) -> list[tuple[Any, ...]]:
    events = sseclient.SSEClient(iter(chunks)).events()
    return [(event.event, event.data, event.id, event.retry) for event in events]


@given(split(plain_streams()))
def test_the_pieces_give_what_sseclient_makes_of_the_whole(case: tuple[bytes, list[bytes]]) -> None:
    whole, pieces = case
    assert parse(event_blocks(pieces)) == parse([whole])


def test_what_follows_the_last_empty_line_is_no_event() -> None:
    assert list(event_blocks([b"data: 1\n\ndata: 2\n"])) == [b"data: 1\n\n"]


def test_comments_without_end_are_not_kept() -> None:
    comments = itertools.repeat(b":" + bytes(1000) + b"\n", 5000)
    assert list(event_blocks(itertools.chain(comments, [b"data: 1\n\n"]))) == [b"data: 1\n\n"]


def test_the_fields_of_an_event_are_parsed() -> None:
    stream = b"event: changed\nretry: 2500\ndata: one\ndata: two\n\nretry: soon\ndata: three\n\n"
    assert list(read_events([stream])) == [
        ServerSentEvent("changed", "one\ntwo", 2.5),
        ServerSentEvent("message", "three", None),
    ]


def test_bytes_that_are_not_utf_8_end_the_stream() -> None:
    events = read_events([b"data: 1\n\n", b"data: \xff\n\n"])
    assert next(events).data == "1"
    with pytest.raises(SSEProtocolError, match="not UTF-8"):
        next(events)


def test_an_event_larger_than_1_mib_ends_the_stream() -> None:
    lines = itertools.repeat(b"data: " + b"x" * 65536 + b"\n")
    with pytest.raises(SSEProtocolError, match="larger than 1 MiB"):
        next(read_events(lines))
