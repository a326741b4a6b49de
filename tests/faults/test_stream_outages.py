"""A stream that breaks, tells nothing or is refused: it hides no change for long, it is knocked at
once a second at the most, and the log has one line for the cause and one for the recovery.

Where a stream keeps ending, or says nothing, the change is made in a gap: nobody is told of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.lanes import BEFORE, PLAIN, WORKERS, Lanes, MakeLanes, lines, most_tries
from tests.support.misbehaving import SILENT, Stream, answers, data_event, endless
from tests.support.misbehaving.answers import Behaviour

#: Polling that a test can wait for.
POLLED = {"ENVIRONMENT_REFRESH_INTERVAL_SECONDS": 1.0, "LIVE_REFRESH_INTERVAL_SECONDS": 1.0}

HALF = b'event: environment_updated\ndata: {"upd'


@dataclass(frozen=True)
class Fault:
    """What is wrong with a stream.

    :param then: what connections meet.
    :param first: what the first ones meet instead, two of each worker.
    :param words: what the log says of it, once in each worker.
    :param recovers: whether it also says that the stream is open again.
    """

    then: Stream | Behaviour
    first: Stream | Behaviour | None = None
    words: str = ""
    recovers: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


FAULTS = {
    "recycled": Fault(Stream(lasts=1.0)),
    "recycled-ungreeted": Fault(Stream(lasts=1.0, greeting=None)),
    "reset-in-an-event": Fault(Stream(lasts=1.0, ending=HALF, resets=True)),
    "cut-off-in-an-event": Fault(Stream(lasts=1.0, ending=HALF)),
    "silent": Fault(SILENT, settings={"STREAM_TIMEOUT_SECONDS": 1.0}),
    "comments-only": Fault(
        Stream(greeting=None, follows=False, opening=b": hello\n\n"), settings=POLLED
    ),
    "no-json": Fault(
        Stream(render=lambda epoch: data_event("changed")),
        words="an event of it was ignored: the data is not JSON",
        settings=POLLED,
    ),
    "no-epoch": Fault(
        Stream(render=lambda epoch: data_event('{"updated_at": [1]}')),
        words="an event of it was ignored: an epoch is a number, not list",
        settings=POLLED,
    ),
    "not-utf-8": Fault(PLAIN, Stream(opening=b"data: \xff\n\n"), "bytes that are not UTF-8"),
    "endless-line": Fault(PLAIN, endless(b"x"), "an event larger than 1 MiB"),
    "endless-event": Fault(PLAIN, endless(b"data: x\n"), "an event larger than 1 MiB"),
    "503": Fault(PLAIN, answers.status(503), "503 Service Unavailable", recovers=True),
    "vanish": Fault(PLAIN, answers.vanish, "closed the connection without", recovers=True),
    "429": Fault(PLAIN, answers.too_many("1"), "429 Too Many Requests", recovers=True),
}
REFUSALS = {
    "401": (answers.status(401), "401 Unauthorized"),
    "403": (answers.status(403), "403 Forbidden"),
    "404": (answers.status(404), "404 Not Found"),
    "204": (answers.status(204), "204 No Content"),
    "page": (answers.html(200), "'text/html; charset=utf-8' instead of events"),
    "elsewhere": (answers.redirect("http://127.0.0.1:9/"), "which is not followed"),
}
OTHERS = ("connection-refused", "newer-for-ever")


@pytest.fixture(scope="module")
def outlived(make_lanes: MakeLanes) -> Lanes:
    """In each lane a change was made, and all workers show it."""
    lanes = make_lanes(*FAULTS, *REFUSALS, *OTHERS)
    for name, fault in FAULTS.items():
        lanes[name].flagsmith.stream.always(fault.then)
        if fault.first is not None:
            lanes[name].flagsmith.stream.next(*[fault.first] * 2 * WORKERS)
    for name, (refusal, _) in REFUSALS.items():
        lanes[name].flagsmith.stream.always(refusal)
    lanes["connection-refused"].flagsmith.stream_server.refuse()
    lanes["connection-refused"].flagsmith.stream.always(PLAIN)
    lanes["newer-for-ever"].flagsmith.stream.always(
        Stream(greeting=lambda epoch: epoch + 3600, lasts=1.0)
    )
    settings = {name: fault.settings for name, fault in FAULTS.items()}
    lanes.serve(settings | dict.fromkeys(REFUSALS, POLLED))
    for lane in lanes.values():
        lane.wait_until_it_shows(BEFORE)
    lanes["connection-refused"].lines(WORKERS)
    lanes["connection-refused"].flagsmith.stream_server.listen()
    for name, lane in lanes.items():
        # These may be open for good by now, and so have to be told.
        recovered = name == "connection-refused" or (name in FAULTS and FAULTS[name].first)
        lane.flagsmith.change("banner_text", value="after", announce=bool(recovered))
    for lane in lanes.values():
        lane.wait_until_it_shows("after")
    return lanes


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_hides_no_change(outlived: Lanes, name: str) -> None:
    lane, fault = outlived[name], FAULTS[name]
    connections = lane.flagsmith.stream.times()
    seconds = time.monotonic() - connections[0]
    assert len(connections) <= WORKERS * (2 + seconds)
    polls = seconds / 0.9 if fault.settings is POLLED else 0
    most_calls = WORKERS * (2 + polls) + len(connections)
    assert lane.flagsmith.environment_document.count <= most_calls
    said = lane.lines(WORKERS if fault.words else 0)
    assert len(said) == (WORKERS if fault.words else 0), said
    assert all(fault.words in line for line in said), said


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_stream_is_left_in_peace_and_flags_are_polled(outlived: Lanes, name: str) -> None:
    lane, (_, words) = outlived[name], REFUSALS[name]
    lane.flagsmith.change("banner_text", value="at last")
    lane.wait_until_it_shows("at last")
    assert lane.flagsmith.stream.count == WORKERS
    calls = lane.flagsmith.environment_document.times()
    assert len(calls) <= WORKERS * (2 + (calls[-1] - calls[0]) / 0.9)
    said = lane.lines(WORKERS)
    assert len(said) == WORKERS, said
    assert all(words in line and "plan" in line for line in said), said


def test_a_refused_connection_is_tried_again(outlived: Lanes) -> None:
    lane = outlived["connection-refused"]
    lane.flagsmith.wait_for_streams(WORKERS)
    lane.flagsmith.change("banner_text", value="at last")
    lane.wait_until_it_shows("at last")
    said = lane.lines(WORKERS)
    assert len(said) == WORKERS, said
    assert all("connection refused" in line for line in said)


def test_an_epoch_that_the_api_never_has_is_not_asked_for_at_each_greeting(
    outlived: Lanes,
) -> None:
    """Flagsmith's issue 2177: for as long as a test can watch. See test_schedule.py for an hour."""
    lane = outlived["newer-for-ever"]
    lane.flagsmith.wait_for(lambda: lane.flagsmith.stream.count >= 8 * WORKERS, timeout=30)
    calls = lane.flagsmith.environment_document.times()
    # There were two such epochs: with the state before the change, and with the one after.
    assert len(calls) <= WORKERS * (1 + 2 * most_tries(calls[-1] - calls[0]))
    assert lane.lines(0) == []


def test_recoveries_are_said_once_and_nothing_else_is(outlived: Lanes) -> None:
    expected = WORKERS * (1 + sum(fault.recovers for fault in FAULTS.values()))
    said = lines(outlived.server, "Flagsmith's stream is open again", expected)
    assert len(said) == expected
    assert "API answers again" not in outlived.server.output
    assert "Traceback" not in outlived.server.output
    for lane in outlived.values():
        assert lane.flagsmith.leaks == []
