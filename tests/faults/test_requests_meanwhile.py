"""In local evaluation no request waits on the network, whatever Flagsmith does."""

from __future__ import annotations

import pytest

from tests.support.lanes import BEFORE, PLAIN, WORKERS, Lane, Lanes, MakeLanes
from tests.support.misbehaving import END, answers

REQUESTS = 200


@pytest.fixture(scope="module")
def lanes(make_lanes: MakeLanes) -> Lanes:
    lanes = make_lanes("hanging", "dripping")
    for lane in lanes.values():
        lane.flagsmith.stream.always(PLAIN)
    lanes.serve({name: {"REQUEST_TIMEOUT_SECONDS": 600} for name in lanes})
    for lane in lanes.values():
        lane.wait_until_it_rests()
    return lanes


def drip(call: answers.Call) -> None:
    """A body that comes in drops for longer than any test."""
    call.exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n[")
    while True:
        call.exchange.wait(0.1)
        call.exchange.send(b" ")


@pytest.mark.parametrize(("name", "answer"), [("hanging", answers.hang), ("dripping", drip)])
def test_requests_are_answered_while_all_calls_hang(
    lanes: Lanes, name: str, answer: answers.Behaviour
) -> None:
    lane = lanes[name]
    flagsmith = lane.flagsmith
    flagsmith.environment_document.always(answer)
    flagsmith.stream.always(answers.hang)
    flagsmith.change("banner_text", value="after")
    flagsmith.say(END)
    flagsmith.wait_for(
        lambda: flagsmith.environment_document.count == flagsmith.stream.count == 2 * WORKERS
    )
    for path in ("/", "/identity"):
        answered = [lanes.server.get(f"/{name}{path}") for _ in range(REQUESTS)]
        assert all(answer["banner"] == BEFORE for answer in answered)
        assert len({answer["pid"] for answer in answered}) == WORKERS
    assert hang_still(lane)
    flagsmith.environment_document.always(answers.truth)
    flagsmith.api_server.drop()
    lane.wait_until_it_shows("after")


def hang_still(lane: Lane) -> bool:
    """Whether the calls have hung all the time."""
    flagsmith = lane.flagsmith
    calls = flagsmith.environment_document.requests + flagsmith.stream.requests
    open_calls = [call for call in calls if call.ended_at is None]
    return len(open_calls) == 2 * WORKERS
