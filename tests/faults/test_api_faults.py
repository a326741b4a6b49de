"""Changes during faults of the API: the last good flags are served, fetches are retried with
growing delays, the log has one line for the cause and one for the recovery, and after the fault the
change is visible.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.lanes import BEFORE, WORKERS, Lanes, MakeLanes, lines, most_fetches
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.misbehaving.answers import Behaviour

BANNERS = [BEFORE, "one", "two", "three"]
#: The memory that a process may need for 64 MiB of an answer, besides its usual memory.
MOST_MEMORY_KIB = 3 * 64 * 1024


def break_deep_inside(document: dict[str, Any]) -> None:
    document["project"]["segments"][0]["rules"][0]["rules"] = [{"type": "ALL", "rules": "none"}]


@dataclass(frozen=True)
class Fault:
    """A temporary fault of the API.

    :param answer: the answer of the API.
    :param words: a part of the line in the log.
    """

    answer: Behaviour
    words: str
    settings: dict[str, Any] = field(default_factory=dict)


#: Only a call that hangs takes that long.
SHORT_TIMEOUTS = {"REQUEST_TIMEOUT_SECONDS": 3.0}

FAULTS = {
    "500": Fault(answers.status(500), "answered 500 Internal Server Error"),
    "502-page": Fault(answers.html(502), "answered 502 Bad Gateway"),
    "200-page": Fault(answers.html(200), "it is not JSON"),
    "204": Fault(answers.status(204), "answered 204 No Content"),
    "304": Fault(answers.status(304, body=b""), "answered 304 Not Modified"),
    "403": Fault(answers.forbid, "refused the server-side key (ser.…, 28 characters)"),
    "404": Fault(answers.html(404), "There is no Flagsmith API at"),
    "empty": Fault(answers.body(b""), "it is not JSON"),
    "empty-object": Fault(answers.body(b"{}"), "$: Object missing required field `api_key`"),
    "list": Fault(answers.body(b"[]"), "$: Expected `object`, got `array`"),
    "deep-inside": Fault(
        answers.mangled(break_deep_inside),
        "$.project.segments[0].rules[0].rules[0].rules: Expected `array`, got `str`",
    ),
    "not-utf-8": Fault(answers.body(b'{"name": "\xff"}'), "it is not JSON"),
    "bottomless": Fault(answers.body(b"[" * 200_000), "$: Expected `object`, got `array`"),
    "cut-off": Fault(answers.cut_off, "the answer was cut off"),
    "reset": Fault(answers.reset, "connection reset by peer"),
    "vanish": Fault(answers.vanish, "closed the connection without an answer"),
    "hang": Fault(answers.hang, "no answer in time", SHORT_TIMEOUTS),
    "hang-in-body": Fault(answers.hang_in_body, "no answer in time", SHORT_TIMEOUTS),
    "200-mib": Fault(answers.huge(), "is larger than 64 MiB"),
    "200-mib-unannounced": Fault(answers.huge(announced=False), "is larger than 64 MiB"),
    "not-http": Fault(lambda call: call.exchange.send(b"SSH-2.0-no\r\n"), "is not HTTP"),
}
OTHERS = (
    *("429", "429-date", "redirect", "older", "by-turns", "by-connection"),
    *("closed", "endless-pages", "reserved"),
)


@pytest.fixture(scope="module")
def lanes(make_lanes: MakeLanes) -> Lanes:
    """Idle lanes: one for each fault, and those of single tests."""
    lanes = make_lanes(*FAULTS, *OTHERS)
    lanes.serve({name: fault.settings for name, fault in FAULTS.items()})
    for lane in lanes.values():
        lane.wait_until_idle()
    return lanes


@pytest.fixture(scope="module")
def after_faults(lanes: Lanes) -> Lanes:
    """The lanes after all faults. A change was made during each."""
    for name, fault in FAULTS.items():
        endpoint = lanes[name].flagsmith.environment_document
        endpoint.always(fault.answer)
        lanes[name].flagsmith.change("banner_text", value="after")
    for name in FAULTS:
        # Each worker has met the fault at least twice: the first call met none, nor did the one for
        # a late greeting, and the last one is under way.
        lanes[name].wait_for(lambda answer: answer["banner"] == BEFORE and answer["calls"] >= 5)
    for name in FAULTS:
        lanes[name].flagsmith.environment_document.always(answers.truth)
    for name in FAULTS:
        lanes[name].wait_for_banner("after")
    return lanes


@pytest.mark.parametrize("name", FAULTS)
def test_the_change_is_visible_after_the_fault(after_faults: Lanes, name: str) -> None:
    lane = after_faults[name]
    calls = lane.calls()
    # The first call is repeated if the connection is closed.
    assert len(calls) <= WORKERS * (1 + most_fetches(calls[-1].at - calls[0].at))
    assert lane.flagsmith.stream.count == WORKERS
    logged = lane.lines(WORKERS)
    assert len(logged) == WORKERS, logged
    assert all(FAULTS[name].words in line for line in logged), logged
    assert all("the last good flags go on serving; it is tried again" in line for line in logged)
    for answer in lane.wait_for_banner("after"):
        assert answer["epochs"] == sorted(answer["epochs"])


def test_recoveries_are_logged_once(after_faults: Lanes) -> None:
    expected = len(FAULTS) * WORKERS
    assert len(lines(after_faults.server, "Flagsmith's API answers again", expected)) == expected
    assert "Traceback" not in after_faults.server.output
    assert MisbehavingFlagsmith.server_side_key not in after_faults.server.output


def test_memory_is_bounded(after_faults: Lanes) -> None:
    calm = after_faults["reserved"].wait_for_banner(BEFORE)
    assert all(answer["most_memory_kib"] < MOST_MEMORY_KIB + 128 * 1024 for answer in calm), calm


@pytest.mark.parametrize(
    ("name", "retry_after"), [("429", lambda: "1"), ("429-date", lambda: answers.date_in(2))]
)
def test_retry_after_is_honoured(lanes: Lanes, name: str, retry_after: Any) -> None:
    lane = lanes[name]
    flagsmith = lane.flagsmith
    began = time.monotonic()
    flagsmith.environment_document.always(answers.too_many(retry_after()))
    flagsmith.change("banner_text", value="after")
    flagsmith.wait_for(lambda: len({call.headers["x-worker"] for call in lane.calls()}) == WORKERS)
    flagsmith.environment_document.always(answers.truth)
    # An announcement does not shorten the delay.
    flagsmith.change("banner_text", value="at last")
    lane.wait_for_banner("at last")
    for worker in {call.headers["x-worker"] for call in lane.calls()}:
        _, second, *_ = [call for call in lane.calls() if call.headers["x-worker"] == worker]
        # A date has whole seconds: this one may be little more than one second away.
        assert second.at - began >= 1.0


def test_the_key_does_not_follow_a_redirect(lanes: Lanes) -> None:
    lane = lanes["redirect"]
    flagsmith = lane.flagsmith
    flagsmith.environment_document.always(answers.redirect(flagsmith.elsewhere_url))
    flagsmith.change("banner_text", value="after")
    logged = lane.lines(WORKERS)
    assert all("which is not followed" in line and "FLAGSMITH_API_URL" in line for line in logged)
    flagsmith.environment_document.always(answers.truth)
    lane.wait_for_banner("after")
    assert flagsmith.leaks == []
    assert flagsmith.elsewhere.count == 0


def test_an_older_answer_is_retried(lanes: Lanes) -> None:
    lane = lanes["older"]
    flagsmith = lane.flagsmith
    flagsmith.environment_document.always(answers.older(1.0))
    flagsmith.change("banner_text", value="after")
    lane.wait_for_banner("after")
    calls = lane.calls()
    assert len(calls) <= WORKERS * most_fetches(calls[-1].at - calls[0].at)
    assert lane.lines(0) == []


def test_a_lagging_replica_never_brings_back_older_flags(lanes: Lanes) -> None:
    lane = lanes["by-turns"]
    flagsmith = lane.flagsmith
    old = flagsmith.truth.version
    flagsmith.environment_document.always(answers.by_turns(answers.truth, answers.serving(old)))
    for value in ("one", "two", "three"):
        flagsmith.change("banner_text", value=value)
        lane.wait_for_banner(value)
    # Signals that wait are merged.
    for answer in lane.wait_for(lambda answer: answer["banners"][-1:] == ["three"]):
        assert answer["epochs"] == sorted(answer["epochs"])
        assert answer["banners"] == sorted(answer["banners"], key=BANNERS.index)
    calls = lane.calls()
    assert len(calls) <= WORKERS * 3 * 2 * most_fetches(calls[-1].at - calls[0].at)
    assert lane.lines(0) == []


def test_a_lagging_replica_is_left_where_connections_are_balanced(lanes: Lanes) -> None:
    lane = lanes["by-connection"]
    flagsmith = lane.flagsmith
    old = flagsmith.truth.version
    flagsmith.environment_document.always(
        answers.by_connection(answers.serving(old), answers.truth)
    )
    for value in ("one", "two", "three"):
        flagsmith.change("banner_text", value=value)
        lane.wait_for_banner(value)
    calls = lane.calls()
    assert len(calls) <= WORKERS * 3 * 2 * most_fetches(calls[-1].at - calls[0].at)
    assert lane.lines(0) == []


def test_a_connection_that_closes_at_the_moment_of_a_call_is_not_logged(lanes: Lanes) -> None:
    lane = lanes["closed"]
    flagsmith = lane.flagsmith
    flagsmith.environment_document.always(answers.once_per_connection())
    for value in ("one", "two", "three"):
        flagsmith.change("banner_text", value=value)
        lane.wait_for_banner(value)
    assert lane.lines(0) == []


def test_pages_without_end_cost_a_hundred_calls_in_ten_minutes(lanes: Lanes) -> None:
    lane = lanes["endless-pages"]
    flagsmith = lane.flagsmith
    flagsmith.environment_document.always(answers.endless_pages)
    flagsmith.change("banner_text", value="after")
    logged = lane.lines(WORKERS)
    assert len(logged) == WORKERS, logged
    assert all("has more than 100 pages" in line for line in logged), logged
    flagsmith.change("banner_text", value="at last")
    lane.wait_for_banner(BEFORE)
    assert len(lane.calls()) == WORKERS * 100
