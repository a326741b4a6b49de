"""Unusual streams: each worker shows each change, a change costs a worker one call, and the
connection stays open.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.support.lanes import WORKERS, Lanes, MakeLanes, most_fetches
from tests.support.misbehaving import Stream, data_event, event
from tests.support.waiting import eventually


def with_data(data: Callable[[float], str]) -> Stream:
    """Return a stream whose events have other data."""
    return Stream(render=lambda epoch: data_event(data(epoch)))


def with_lines(ending: bytes, piece: int | None = None) -> Stream:
    """Return a stream with another line ending."""
    return Stream(render=lambda epoch: event(epoch).replace(b"\n", ending), piece=piece)


def in_mixed_lines(epoch: float) -> bytes:
    """Return an event with every line ending."""
    return f'event: environment_updated\r\ndata: {{"updated_at":\rdata: {epoch}}}\n\r\n'.encode()


def after_wrong_events(epoch: float) -> bytes:
    """Return an event after others that are ignored."""
    wrong = ("[]", "{}", "true", '"soon"', '""', "-1", "NaN", "1e999", '"Infinity"', "[[1]]")
    others = [data_event(f'{{"updated_at": {value}}}') for value in wrong]
    return b"".join([*others, data_event("5"), data_event("nonsense"), event(epoch)])


STREAMS = {
    "chunked": Stream(),
    "unframed": Stream(chunked=False),
    "gzip": Stream(gzipped=True),
    "gzip-unframed": Stream(gzipped=True, chunked=False),
    "byte-by-byte": Stream(piece=1),
    "byte-by-byte-unframed": Stream(piece=1, chunked=False),
    "cr": with_lines(b"\r"),
    "crlf": with_lines(b"\r\n"),
    "crlf-split": with_lines(b"\r\n", piece=1),
    "mixed-lines": Stream(render=in_mixed_lines),
    "byte-order-mark": Stream(opening=b"\xef\xbb\xbf"),
    "comments": Stream(opening=b": hello\n\n:\n" * 1000),
    "several-data-lines": with_data(lambda epoch: f'{{\ndata: "updated_at":\ndata: {epoch}}}'),
    "no-retry": Stream(render=lambda epoch: event(epoch, retry=None)),
    "odd-retry": with_data(lambda epoch: f'{{"updated_at": {epoch}}}\nretry: soon'),
    "milliseconds": with_data(lambda epoch: f'{{"updated_at": {epoch * 1000}}}'),
    "text": with_data(lambda epoch: f'{{"updated_at": "{epoch}"}}'),
    "other-members": with_data(lambda epoch: f'{{"id": [], "updated_at": {epoch}}}'),
    "other-events": Stream(render=lambda epoch: b"event: other\ndata: 1\n\n" + event(epoch)),
    "old-ones": Stream(render=lambda epoch: event(1.0) + event(epoch - 60) + event(epoch)),
    "wrong-ones": Stream(render=after_wrong_events),
    "thousands": Stream(render=lambda epoch: event(epoch) * 3000),
}
#: Their greeting may be news, so each worker fetches once more.
AMBIGUOUS = {
    "no-epoch": with_data(lambda epoch: "{}"),
    "whole-seconds": Stream(render=lambda epoch: event(int(epoch))),
}
OTHERS = ("far-future", "flood", "hundreds")


@pytest.fixture(scope="module")
def lanes(make_lanes: MakeLanes) -> Lanes:
    """A lane for each stream."""
    lanes = make_lanes(*STREAMS, *AMBIGUOUS, *OTHERS)
    for name, stream in {**STREAMS, **AMBIGUOUS}.items():
        lanes[name].flagsmith.stream.always(stream)
    lanes.serve()
    return lanes


@pytest.mark.parametrize("name", [*STREAMS, *AMBIGUOUS])
def test_a_change_costs_each_worker_one_call(lanes: Lanes, name: str) -> None:
    lane = lanes[name]
    lane.wait_until_idle()
    lane.flagsmith.change("banner_text", value="after")
    lane.wait_for_banner("after")
    assert len(lane.calls()) <= WORKERS * (2 if name in AMBIGUOUS else 1)
    assert lane.flagsmith.stream.count == WORKERS


def test_an_epoch_in_the_far_future_hides_no_change(lanes: Lanes) -> None:
    lane = lanes["far-future"]
    lane.wait_until_idle()
    lane.flagsmith.announce(lane.flagsmith.truth.version.epoch + 1e8)
    for value in ("one", "two", "three"):
        lane.flagsmith.change("banner_text", value=value)
        lane.wait_for_banner(value)
    calls = lane.calls()
    assert len(calls) <= WORKERS * (3 + most_fetches(calls[-1].at - calls[0].at))


def test_a_flood_of_events_costs_one_call_an_interval(lanes: Lanes) -> None:
    """5,000 epochs, each newer than the one before, announced at once."""
    lane = lanes["flood"]
    lane.wait_until_idle()
    old = lane.flagsmith.truth.version.epoch
    new = lane.flagsmith.change("banner_text", value="after", announce=False)
    step = (new - old) / 5000
    lane.flagsmith.say(b"".join(event(old + step * number) for number in range(1, 5001)))
    lane.wait_for_banner("after")
    lane.flagsmith.change("banner_text", value="last")
    lane.wait_for_banner("last")
    calls = lane.calls()
    assert len(calls) <= WORKERS * (2 + (calls[-1].at - calls[0].at) / 0.25)


def test_hundreds_of_changes_cost_one_call_an_interval(lanes: Lanes) -> None:
    lane = lanes["hundreds"]
    lane.wait_until_idle()
    until = time.monotonic() + 2.0
    changes = 0
    while time.monotonic() < until or changes < 200:
        changes += 1
        lane.flagsmith.change("banner_text", value=f"number {changes}")
    lane.wait_for_banner(f"number {changes}")
    calls = lane.calls()
    assert len(calls) <= WORKERS * (2 + (calls[-1].at - calls[0].at) / 0.25)


def test_only_malformed_events_are_logged_and_each_kind_once(lanes: Lanes) -> None:
    logged = [
        line for name, lane in lanes.items() if name != "wrong-ones" for line in lane.lines(0)
    ]
    assert logged == []
    wrong = lanes["wrong-ones"]
    eventually(
        lambda: 0 < len(logged := wrong.lines(0)) == WORKERS * len(set(logged)),
        lambda: wrong.lines(0),
    )
    assert "Traceback" not in lanes.server.output
