"""Streams that break, stay silent or are refused: no change is hidden for long, a worker connects
at most once a second, and the log has one line for the cause and one for the recovery.

The change is not announced where the stream keeps ending or stays silent.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.lanes import (
    BEFORE,
    FASTEST_POLL_SECONDS,
    PLAIN,
    WORKERS,
    Lanes,
    MakeLanes,
    lines,
    most_fetches,
)
from tests.support.misbehaving import SILENT, Stream, answers, data_event, endless
from tests.support.misbehaving.answers import Behaviour

#: Polling intervals that a test can wait for.
FAST_POLLING = {"ENVIRONMENT_REFRESH_INTERVAL_SECONDS": 1.0, "LIVE_REFRESH_INTERVAL_SECONDS": 1.0}

HALF = b'event: environment_updated\ndata: {"upd'


@dataclass(frozen=True)
class Fault:
    """A fault of a stream.

    :param then: the behaviour towards connections.
    :param first: the behaviour before, until each worker has logged it.
    :param words: a part of the line that each worker logs once.
    :param recovers: whether each worker also logs the recovery.
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
    "silent": Fault(SILENT, settings={"STREAM_TIMEOUT_SECONDS": 5.0}),
    "comments-only": Fault(
        Stream(greeting=None, follows=False, opening=b": hello\n\n"), settings=FAST_POLLING
    ),
    "no-json": Fault(
        Stream(render=lambda epoch: data_event("changed")),
        words="an event of it was ignored: the data is not a JSON object",
        settings=FAST_POLLING,
    ),
    "no-epoch": Fault(
        Stream(render=lambda epoch: data_event('{"updated_at": [1]}')),
        words="an event of it was ignored: an epoch is a number, not list",
        settings=FAST_POLLING,
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
OTHERS = ("connection-refused", "always-newer")


@pytest.fixture(scope="module")
def after_faults(make_lanes: MakeLanes) -> Lanes:
    """The lanes after a change in each, which all workers show."""
    lanes = make_lanes(*FAULTS, *REFUSALS, *OTHERS)
    for name, fault in FAULTS.items():
        lanes[name].flagsmith.stream.always(fault.first or fault.then)
    for name, (refusal, _) in REFUSALS.items():
        lanes[name].flagsmith.stream.always(refusal)
    lanes["connection-refused"].flagsmith.stream_server.refuse()
    lanes["connection-refused"].flagsmith.stream.always(PLAIN)
    lanes["always-newer"].flagsmith.stream.always(
        Stream(greeting=lambda epoch: epoch + 3600, lasts=1.0)
    )
    settings = {name: fault.settings for name, fault in FAULTS.items()}
    lanes.serve(settings | dict.fromkeys(REFUSALS, FAST_POLLING))
    for lane in lanes.values():
        lane.wait_for_banner(BEFORE)
    lanes["connection-refused"].lines(WORKERS)
    lanes["connection-refused"].flagsmith.stream_server.listen()
    for name, fault in FAULTS.items():
        if fault.first is not None:
            lanes[name].lines(WORKERS)
            lanes[name].flagsmith.stream.always(fault.then)
    for name, lane in lanes.items():
        # Their streams may stay open now, and so the change has to be announced.
        recovered = name == "connection-refused" or (name in FAULTS and FAULTS[name].first)
        lane.flagsmith.change("banner_text", value="after", announce=bool(recovered))
    for lane in lanes.values():
        lane.wait_for_banner("after")
    return lanes


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_hides_no_change(after_faults: Lanes, name: str) -> None:
    lane, fault = after_faults[name], FAULTS[name]
    calls = lane.flagsmith.environment_document.count
    connections = lane.flagsmith.stream.times()
    seconds = time.monotonic() - connections[0]
    assert len(connections) <= WORKERS * (2 + seconds)
    polls = seconds / (0.9 if fault.settings is FAST_POLLING else FASTEST_POLL_SECONDS)
    assert calls <= WORKERS * (2 + polls) + len(connections)
    logged = lane.lines(WORKERS if fault.words else 0)
    assert len(logged) == (WORKERS if fault.words else 0), logged
    assert all(fault.words in line for line in logged), logged


@pytest.mark.parametrize("name", REFUSALS)
def test_flags_are_polled_when_the_stream_is_refused(after_faults: Lanes, name: str) -> None:
    lane, (_, words) = after_faults[name], REFUSALS[name]
    lane.flagsmith.change("banner_text", value="at last")
    lane.wait_for_banner("at last")
    calls = lane.flagsmith.environment_document.times()
    assert len(calls) <= WORKERS * (2 + (calls[-1] - calls[0]) / 0.9)
    logged = lane.lines(WORKERS)
    assert lane.flagsmith.stream.count == WORKERS
    assert len(logged) == WORKERS, logged
    assert all(words in line and "plan" in line for line in logged), logged


def test_a_refused_connection_is_retried(after_faults: Lanes) -> None:
    lane = after_faults["connection-refused"]
    lane.flagsmith.wait_for_streams(WORKERS)
    lane.flagsmith.change("banner_text", value="at last")
    lane.wait_for_banner("at last")
    logged = lane.lines(WORKERS)
    assert len(logged) == WORKERS, logged
    assert all("connection refused" in line for line in logged)


def test_greetings_with_an_epoch_that_the_api_never_has_cost_no_call_each(
    after_faults: Lanes,
) -> None:
    """Flagsmith's issue 2177; for an hour of it see tests/engine/test_schedule_scenarios.py."""
    lane = after_faults["always-newer"]
    lane.flagsmith.wait_for(lambda: lane.flagsmith.stream.count >= 8 * WORKERS)
    calls = lane.flagsmith.environment_document.times()
    seconds = calls[-1] - calls[0]
    # There were two such epochs: with the state before the change, and with the one after. The
    # second is asked for at polling's pace from then on.
    assert len(calls) <= WORKERS * (1 + 2 * most_fetches(seconds) + seconds / FASTEST_POLL_SECONDS)
    assert lane.lines(0) == []


def test_recoveries_are_logged_once(after_faults: Lanes) -> None:
    expected = WORKERS * (1 + sum(fault.recovers for fault in FAULTS.values()))
    logged = lines(after_faults.server, "Flagsmith's stream is open again", expected)
    assert len(logged) == expected
    assert "API answers again" not in after_faults.server.output
    assert "Traceback" not in after_faults.server.output
    for lane in after_faults.values():
        assert lane.flagsmith.leaks == []
