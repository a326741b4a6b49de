"""In local evaluation no request waits for the network, even while all calls hang."""

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
        lane.wait_until_idle()
    return lanes


def drip(call: answers.Call) -> None:
    """Send a body slowly, for longer than any test takes."""
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
    connected = flagsmith.stream.count
    flagsmith.say(END)
    flagsmith.wait_for(lambda: flagsmith.stream.count >= connected + WORKERS)
    flagsmith.wait_for(lambda: are_hanging(lane))
    for path in ("/", "/identity"):
        answered = [lanes.server.get(f"/{name}{path}") for _ in range(REQUESTS)]
        assert all(answer["banner"] == BEFORE for answer in answered)
        lane.wait_for_banner(BEFORE, path)
    assert are_hanging(lane)
    flagsmith.environment_document.always(answers.truth)
    flagsmith.api_server.drop()
    lane.wait_for_banner("after")


def are_hanging(lane: Lane) -> bool:
    """Return whether each worker waits for an answer of the API, and for one of the stream."""
    flagsmith = lane.flagsmith
    return all(
        len([call for call in endpoint.requests if call.ended_at is None]) == WORKERS
        for endpoint in (flagsmith.environment_document, flagsmith.stream)
    )
