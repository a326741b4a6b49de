"""The schedule by example: when it fetches, which answers it takes. The clock is simulated."""

from __future__ import annotations

import math

import pytest

from flask_flagsmith_realtime.engine.schedule import Schedule, Verdict
from tests.support.simulated import START


@pytest.fixture
def schedule() -> Schedule:
    """A schedule at the default settings, without jitter."""
    return Schedule(0.25, 60.0, 300.0, lambda: 0.0)


def fetch(schedule: Schedule, epoch: float | None, now: float) -> Verdict:
    schedule.started(now)
    verdict, _ = schedule.answered(epoch, now)
    return verdict


def test_the_first_fetch_is_due_at_once(schedule: Schedule) -> None:
    assert schedule.due == -math.inf
    assert schedule.held is None


def test_the_first_answer_is_taken(schedule: Schedule) -> None:
    assert fetch(schedule, START, now=0.0) is Verdict.TAKE
    assert schedule.held == START


def test_flags_are_polled_every_minute_while_the_stream_is_down(schedule: Schedule) -> None:
    fetch(schedule, START, now=10.0)
    assert schedule.due == 10.0 + 0.9 * 60


def test_flags_are_polled_every_five_minutes_while_the_stream_is_up(schedule: Schedule) -> None:
    fetch(schedule, START, now=10.0)
    schedule.connected(now=11.0)
    schedule.greeted(START)
    assert schedule.due == 10.0 + 0.9 * 300
    schedule.disconnected(now=100.0)
    assert schedule.due == 100.0 + 0.9 * 60


def test_never_polling_while_the_stream_is_up(schedule: Schedule) -> None:
    schedule.live_interval = 0.0
    fetch(schedule, START, now=10.0)
    schedule.connected(now=11.0)
    schedule.greeted(START)
    assert schedule.due == math.inf


def test_a_newer_event_is_fetched_at_once(schedule: Schedule) -> None:
    fetch(schedule, START, now=0.0)
    schedule.announced(START + 5, now=5.0)
    assert schedule.due <= 5.0


@pytest.mark.parametrize("epoch", [START, START - 1, START - 0.5, 0.0])
def test_an_event_that_is_not_newer_is_not_fetched(schedule: Schedule, epoch: float) -> None:
    fetch(schedule, START + 0.25, now=0.0)
    fetch(schedule, START + 0.25, now=2.0)
    schedule.announced(epoch, now=5.0)
    assert schedule.due > 50


def test_an_event_without_an_epoch_is_fetched_each_time(schedule: Schedule) -> None:
    fetch(schedule, START, now=0.0)
    for now in (5.0, 6.0):
        schedule.announced(None, now)
        assert schedule.due <= now
        fetch(schedule, START, now)


def test_fetches_are_the_minimum_interval_apart(schedule: Schedule) -> None:
    fetch(schedule, START, now=5.0)
    schedule.announced(START + 5.1, now=5.1)
    assert schedule.due == 5.25


def test_a_change_in_a_second_that_was_announced_before_is_fetched(schedule: Schedule) -> None:
    """A server that truncates epochs to seconds announces both changes with the same number."""
    fetch(schedule, START - 10, now=0.0)
    schedule.announced(START, now=10.2)
    fetch(schedule, START + 0.2, now=10.2)
    schedule.announced(START, now=10.7)
    assert schedule.due <= 10.7
    fetch(schedule, START + 0.7, now=10.7)
    fetch(schedule, START + 0.7, now=12.0)
    schedule.announced(START, now=13.0)
    assert schedule.due > 60


def test_an_older_answer_is_retried_for_a_minute_and_given_up_once(
    schedule: Schedule,
) -> None:
    fetch(schedule, START, now=0.0)
    schedule.announced(START + 10, now=10.0)
    fetched_at, given_up = [], ()
    while not given_up and len(fetched_at) < 100:
        now = max(schedule.due, 10.0)
        fetched_at.append(now)
        schedule.started(now)
        verdict, given_up = schedule.answered(START, now)
        assert verdict is Verdict.TAKE
    assert [now - 10 for now in fetched_at] == [
        0.0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75, 31.75, 63.75
    ]  # fmt: skip
    assert given_up == (START + 10,)
    schedule.announced(START + 10, now=80.0)
    assert schedule.due > 100
    assert START + 10 in schedule.known


def test_a_newer_answer_settles_the_event(schedule: Schedule) -> None:
    fetch(schedule, START, now=0.0)
    schedule.announced(START + 10, now=10.0)
    fetch(schedule, START, now=10.0)
    fetch(schedule, START + 12, now=10.25)
    assert schedule.held == START + 12
    assert schedule.due > 60


def test_an_event_that_is_sent_twice_costs_one_fetch(schedule: Schedule) -> None:
    """One change of a segment sends two events."""
    fetch(schedule, START, now=0.0)
    schedule.announced(START + 10, now=10.0)
    fetch(schedule, START, now=10.0)
    schedule.announced(START + 10, now=10.07)
    assert schedule.due == 10.25


def test_a_call_made_before_the_event_does_not_count_as_a_try(schedule: Schedule) -> None:
    schedule.min_interval = 0.01
    fetch(schedule, START, now=0.0)
    schedule.announced(START + 10, now=10.0)
    fetch(schedule, START, now=10.0)
    schedule.announced(START + 10.1, now=10.1)
    schedule.started(10.1)
    schedule.answered(START, now=15.0)
    assert schedule.due == 10.25


def test_an_answer_older_than_the_held_snapshot_is_refused_and_retried(
    schedule: Schedule,
) -> None:
    fetch(schedule, START, now=0.0)
    assert fetch(schedule, START - 5, now=60.0) is Verdict.REFUSE
    assert schedule.held == START
    assert schedule.due == 60.25
    assert fetch(schedule, START, now=60.25) is Verdict.TAKE
    assert schedule.due > 100


def test_the_held_epoch_is_never_given_up(
    schedule: Schedule,
) -> None:
    fetch(schedule, START, now=0.0)
    now = 60.0
    while now < 200:
        schedule.started(now)
        assert schedule.answered(START - 5, now) == (Verdict.REFUSE, ())
        now = schedule.due


def test_an_older_state_is_taken_when_the_api_keeps_serving_it_for_five_minutes(
    schedule: Schedule,
) -> None:
    schedule.live_interval = 0.0
    fetch(schedule, START, now=0.0)
    schedule.connected(now=1.0)
    verdicts, now = [], schedule.due
    while Verdict.TAKE_OLDER not in verdicts and len(verdicts) < 100:
        verdicts.append(fetch(schedule, START - 5, now))
        if len(verdicts) == 1:
            # A recycled connection changes nothing.
            schedule.disconnected(now)
            schedule.connected(now)
            schedule.greeted(START)
        now = max(now, schedule.due)
    assert len(verdicts) == 10
    assert schedule.held == START - 5
    assert fetch(schedule, START - 5, now) is Verdict.TAKE


def test_a_newer_answer_restarts_the_five_minutes(schedule: Schedule) -> None:
    fetch(schedule, START, now=0.0)
    assert fetch(schedule, START - 5, now=100.0) is Verdict.REFUSE
    assert fetch(schedule, START, now=200.0) is Verdict.TAKE
    assert fetch(schedule, START - 5, now=399.0) is Verdict.REFUSE
    assert fetch(schedule, START - 5, now=500.0) is Verdict.REFUSE
    assert fetch(schedule, START - 5, now=700.0) is Verdict.TAKE_OLDER


def test_a_connection_without_a_greeting_is_caught_up_after_a_second(schedule: Schedule) -> None:
    fetch(schedule, START, now=0.0)
    schedule.connected(now=10.0)
    assert schedule.due == 11.0
    fetch(schedule, START, now=11.0)
    assert schedule.due > 60


def test_a_greeting_with_the_held_epoch_costs_no_fetch(schedule: Schedule) -> None:
    fetch(schedule, START + 0.5, now=0.0)
    for now in range(30, 270, 30):
        schedule.disconnected(now)
        schedule.connected(now)
        schedule.greeted(START + 0.5)
        schedule.announced(START + 0.5, now)
        assert schedule.due > now + 1


def test_a_greeting_with_a_newer_epoch_is_fetched_once(schedule: Schedule) -> None:
    fetch(schedule, START, now=0.0)
    schedule.connected(now=10.0)
    schedule.greeted(START + 5)
    schedule.announced(START + 5, now=10.0)
    fetch(schedule, START + 5, now=10.0)
    assert schedule.due > 60


def test_a_greeting_with_an_epoch_that_no_answer_has_hides_no_change(schedule: Schedule) -> None:
    """The catch-up fetches continue at the polling interval."""
    fetch(schedule, START, now=0.0)
    schedule.announced(START + 10, now=10.0)
    while schedule.due < 100:
        fetched_at = max(schedule.due, 10.0)
        fetch(schedule, START, fetched_at)
    for now in (80.0, 110.0):
        schedule.disconnected(now)
        schedule.connected(now)
        schedule.greeted(START + 10)
        schedule.announced(START + 10, now)
        assert schedule.due == fetched_at + 60
    fetch(schedule, START + 5, now=fetched_at + 60)
    assert schedule.due > fetched_at + 200


def test_failures_are_retried_after_growing_delays_then_at_the_polling_pace(
    schedule: Schedule,
) -> None:
    now, delays = 0.0, []
    for _ in range(10):
        schedule.started(now)
        schedule.failed(now)
        delays.append(schedule.due - now)
        now = schedule.due
    assert delays == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 16, 32, 54, 54])


def test_an_event_retries_a_failing_api_at_once(schedule: Schedule) -> None:
    now = 0.0
    for _ in range(9):
        schedule.started(now)
        schedule.failed(now)
        now = schedule.due
    schedule.announced(START, now - 20)
    assert schedule.due == now - 20
    schedule.started(now - 20)
    schedule.failed(now - 20)
    schedule.announced(START, now - 19)
    assert schedule.due > now - 19


def test_an_answer_ends_the_failures(schedule: Schedule) -> None:
    schedule.started(0.0)
    schedule.failed(0.0)
    fetch(schedule, START, now=0.25)
    assert schedule.due == 0.25 + 0.9 * 60
    schedule.started(60.0)
    schedule.failed(60.0)
    assert schedule.due == 60.25


@pytest.mark.parametrize(("asked", "honoured"), [(120.0, 120.0), (0.0, 0.25), (1e9, 600.0)])
def test_retry_after_is_honoured_whatever_is_announced(
    schedule: Schedule, asked: float, honoured: float
) -> None:
    schedule.started(0.0)
    schedule.failed(0.0, retry_after=asked)
    assert schedule.due == honoured
    schedule.announced(START, now=0.1)
    schedule.announced(None, now=0.2)
    assert schedule.due == max(honoured if asked else 0.25, 0.25)


def test_a_held_snapshot_is_renewed_but_not_by_an_older_one(schedule: Schedule) -> None:
    schedule.hold(START, now=0.0)
    assert schedule.due == -math.inf
    assert fetch(schedule, START - 5, now=0.0) is Verdict.REFUSE
    assert fetch(schedule, START + 5, now=0.25) is Verdict.TAKE
    schedule.hold(START, now=1.0)
    schedule.hold(None, now=1.0)
    assert schedule.held == START + 5


def test_answers_without_an_epoch_are_taken_and_settle_what_was_announced(
    schedule: Schedule,
) -> None:
    fetch(schedule, None, now=0.0)
    schedule.announced(START, now=5.0)
    assert fetch(schedule, None, now=5.0) is Verdict.TAKE
    schedule.announced(START, now=6.0)
    assert schedule.due > 50


def test_a_hint_is_fetched_three_times(schedule: Schedule) -> None:
    fetch(schedule, START, now=0.0)
    schedule.hinted(START + 10, now=10.0)
    fetched_at = []
    while schedule.due < 50:
        fetched_at.append(max(schedule.due, 10.0))
        fetch(schedule, START, fetched_at[-1])
    assert fetched_at == [10.0, 11.0, 16.0]


@pytest.mark.parametrize("epoch", [START + 10, START + 11])
def test_an_answer_not_older_than_the_hint_ends_the_retries(
    schedule: Schedule, epoch: float
) -> None:
    fetch(schedule, START, now=0.0)
    schedule.hinted(START + 10, now=10.0)
    fetch(schedule, epoch, now=10.0)
    assert schedule.due > 50


def test_an_answer_that_shows_a_change_ends_the_retries(schedule: Schedule) -> None:
    """An override for one identity leaves the epoch as it was."""
    fetch(schedule, START, now=0.0)
    schedule.hinted(None, now=10.0)
    fetch(schedule, START, now=10.0)
    assert schedule.due == 11.0
    schedule.saw_change(None)
    assert schedule.due > 50


def test_a_change_that_is_older_than_a_hint_does_not_serve_it(schedule: Schedule) -> None:
    fetch(schedule, START, now=0.0)
    schedule.hinted(START + 20, now=20.0)
    fetch(schedule, START + 10, now=20.0)
    schedule.saw_change(START + 10)
    assert schedule.due < 25
    schedule.saw_change(START + 20)
    assert schedule.due > 50
