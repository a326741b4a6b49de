"""When the schedule fetches, by example. The clock is simulated."""

from __future__ import annotations

import math

import pytest

from flask_flagsmith_realtime.engine.schedule import Schedule, Verdict
from tests.support.simulated import START, World, make_world


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
def test_an_event_that_is_not_newer_is_no_news(schedule: Schedule, epoch: float) -> None:
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
    """A server that cuts fractions off announces both changes by the same number."""
    fetch(schedule, START - 10, now=0.0)
    schedule.announced(START, now=10.2)
    fetch(schedule, START + 0.2, now=10.2)
    schedule.announced(START, now=10.7)
    assert schedule.due <= 10.7
    fetch(schedule, START + 0.7, now=10.7)
    fetch(schedule, START + 0.7, now=12.0)
    schedule.announced(START, now=13.0)
    assert schedule.due > 60


def test_an_older_answer_is_asked_for_again_for_a_minute_and_given_up_once(
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


def test_an_event_is_asked_for_by_one_fetch_although_it_is_sent_twice(schedule: Schedule) -> None:
    """One change of a segment sends two events."""
    fetch(schedule, START, now=0.0)
    schedule.announced(START + 10, now=10.0)
    fetch(schedule, START, now=10.0)
    schedule.announced(START + 10, now=10.07)
    assert schedule.due == 10.25


def test_an_answer_to_a_call_made_too_early_is_no_try(schedule: Schedule) -> None:
    schedule.min_interval = 0.01
    fetch(schedule, START, now=0.0)
    schedule.announced(START + 10, now=10.0)
    fetch(schedule, START, now=10.0)
    schedule.announced(START + 10.1, now=10.1)
    schedule.started(10.1)
    schedule.answered(START, now=15.0)
    assert schedule.due == 10.25


def test_an_answer_older_than_what_is_held_is_left_aside_and_asked_for_again(
    schedule: Schedule,
) -> None:
    fetch(schedule, START, now=0.0)
    assert fetch(schedule, START - 5, now=60.0) is Verdict.REFUSE
    assert schedule.held == START
    assert schedule.due == 60.25
    assert fetch(schedule, START, now=60.25) is Verdict.TAKE
    assert schedule.due > 100


def test_what_is_held_is_not_said_to_have_been_announced_and_never_served(
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


def test_one_newer_answer_begins_the_five_minutes_anew(schedule: Schedule) -> None:
    fetch(schedule, START, now=0.0)
    assert fetch(schedule, START - 5, now=100.0) is Verdict.REFUSE
    assert fetch(schedule, START, now=200.0) is Verdict.TAKE
    assert fetch(schedule, START - 5, now=399.0) is Verdict.REFUSE
    assert fetch(schedule, START - 5, now=500.0) is Verdict.REFUSE
    assert fetch(schedule, START - 5, now=700.0) is Verdict.TAKE_OLDER


def test_a_silent_connection_is_caught_up_with_after_a_second(schedule: Schedule) -> None:
    fetch(schedule, START, now=0.0)
    schedule.connected(now=10.0)
    assert schedule.due == 11.0
    fetch(schedule, START, now=11.0)
    assert schedule.due > 60


def test_a_greeting_with_what_is_held_costs_nothing(schedule: Schedule) -> None:
    fetch(schedule, START + 0.5, now=0.0)
    for now in range(30, 270, 30):
        schedule.disconnected(now)
        schedule.connected(now)
        schedule.greeted(START + 0.5)
        schedule.announced(START + 0.5, now)
        assert schedule.due > now + 1


def test_a_greeting_with_something_newer_is_fetched_once(schedule: Schedule) -> None:
    fetch(schedule, START, now=0.0)
    schedule.connected(now=10.0)
    schedule.greeted(START + 5)
    schedule.announced(START + 5, now=10.0)
    fetch(schedule, START + 5, now=10.0)
    assert schedule.due > 60


def test_a_greeting_that_no_answer_ever_had_hides_no_change(schedule: Schedule) -> None:
    """It stands for nothing: the catch-up stays, at polling's pace."""
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


def test_an_event_has_a_failing_api_tried_at_once(schedule: Schedule) -> None:
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


def test_a_change_told_of_by_webhook_is_asked_for_three_times(schedule: Schedule) -> None:
    fetch(schedule, START, now=0.0)
    schedule.hinted(START + 10, now=10.0)
    fetched_at = []
    while schedule.due < 50:
        fetched_at.append(max(schedule.due, 10.0))
        fetch(schedule, START, fetched_at[-1])
    assert fetched_at == [10.0, 11.0, 16.0]


@pytest.mark.parametrize("epoch", [START + 10, START + 11])
def test_an_answer_that_is_not_older_than_what_was_told_ends_it(
    schedule: Schedule, epoch: float
) -> None:
    fetch(schedule, START, now=0.0)
    schedule.hinted(START + 10, now=10.0)
    fetch(schedule, epoch, now=10.0)
    assert schedule.due > 50


def test_an_answer_that_shows_a_change_ends_it(schedule: Schedule) -> None:
    """An override for one identity leaves the epoch as it was."""
    fetch(schedule, START, now=0.0)
    schedule.hinted(None, now=10.0)
    fetch(schedule, START, now=10.0)
    assert schedule.due == 11.0
    schedule.saw_change()
    assert schedule.due > 50


# The next ones play with a whole Flagsmith.


def fetches_in(world: World, seconds: float) -> int:
    before = world.flagsmith.calls
    world.run(seconds)
    return world.flagsmith.calls - before


def test_greeted_for_ever_with_an_epoch_that_the_api_never_has() -> None:
    """Flagsmith's issue 2177: clients refetched at every reconnect, for ever."""
    world = make_world("document")
    world.run(1.0)
    calls = 0
    for _ in range(120):
        world.connect()
        world.announce(START + 1e6)
        calls += fetches_in(world, 30.0)
        world.disconnect()
        world.flagsmith.change(world.now)
        world.flagsmith.catch_up()
    # A change in the gap is not announced. It is seen as if there were no stream.
    assert 3600 / 60 <= calls <= 9 + 3600 / 60 + 1
    assert world.schedule.held is not None
    assert world.schedule.held >= world.flagsmith.truth - 90


def test_an_absurd_epoch_hides_no_change() -> None:
    world = make_world("document")
    world.connect()
    world.announce(START * 3)
    for _ in range(100):
        world.flagsmith.change(world.now)
        world.flagsmith.catch_up()
        world.announce(START * 3)
        world.announce(world.flagsmith.truth)
        world.announce(START * 3)
        world.run(0.26)
        assert world.served == world.flagsmith.truth
    assert world.flagsmith.calls <= 101 + 9


@pytest.mark.parametrize("kind", ["document", "header"])
def test_two_replicas_of_which_one_lags_for_a_minute(kind: str) -> None:
    world = make_world(kind)
    world.run(100.0)
    calls = world.flagsmith.calls
    for _ in range(5):
        world.flagsmith.change(world.now)
        world.flagsmith.replicas[1] = world.flagsmith.truth
        world.announce(world.flagsmith.truth)
        world.run(2.0)
        assert world.served == world.flagsmith.truth
    assert world.flagsmith.calls - calls <= 5 * 3


def test_all_headers_lag_while_flags_are_fresh() -> None:
    """Each change is served at once, and asked for until the headers have it, by nine calls."""
    world = make_world("header")
    world.run(100.0)
    for _ in range(3):
        calls = world.flagsmith.calls
        world.flagsmith.change(world.now)
        world.announce(world.flagsmith.truth)
        world.run(0.3)
        assert world.served == world.flagsmith.truth
        world.run(55.0)
        world.flagsmith.catch_up()
        world.run(45.0)
        assert world.schedule.held == world.flagsmith.truth
        assert world.flagsmith.calls - calls <= 10


def test_a_fresh_answer_with_an_old_header_wins_in_the_end() -> None:
    """The one replica that answers has fresh flags, but a header older than what is held."""
    world = make_world("header")
    flagsmith = world.flagsmith
    world.run(100.0)
    flagsmith.change(world.now)
    flagsmith.replicas[0] = flagsmith.truth
    flagsmith.turns = (0,)
    world.announce(flagsmith.truth)
    world.run(1.0)
    assert world.schedule.held == flagsmith.truth
    flagsmith.turns = (1,)
    flagsmith.change(world.now)
    world.announce(flagsmith.truth)
    world.run(58.0)
    flagsmith.catch_up()
    world.run(20.0)
    assert world.served == flagsmith.truth


def test_a_storm_of_events_costs_four_fetches_a_second() -> None:
    world = make_world("document")
    world.run(100.0)
    calls = world.flagsmith.calls
    for _ in range(1000):
        world.flagsmith.change(world.now)
        world.flagsmith.catch_up()
        world.announce(world.flagsmith.truth)
        world.run(0.01)
    world.run(0.25)
    assert world.served == world.flagsmith.truth
    assert world.flagsmith.calls - calls <= 10 * 4 + 2


def test_a_flood_of_absurd_epochs_is_asked_for_once_each() -> None:
    world = make_world("document")
    world.run(100.0)
    calls = world.flagsmith.calls
    for _ in range(20):
        for number in range(40):
            world.announce(START * 2 + number)
            world.run(0.3)
    assert world.flagsmith.calls - calls <= 9 * 40
    assert len(world.schedule.known) == 40


def test_an_hour_of_silence_costs_the_polls() -> None:
    world = make_world("document")
    assert 3600 / 66 <= fetches_in(world, 3600.0) <= 3600 / 54 + 1
    world.connect()
    assert 3600 / 330 <= fetches_in(world, 3600.0) <= 3600 / 270 + 2


def test_a_failing_api_is_asked_for_the_polls_alone() -> None:
    world = make_world("document")
    world.flagsmith.failing = True
    world.connect()
    world.run(3600.0)
    assert world.counts.failures <= 9 + 3600 / 54 + 1
