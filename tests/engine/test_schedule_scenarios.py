"""The schedule with a whole simulated Flagsmith: lagging replicas, floods, outages."""

from __future__ import annotations

import pytest

from tests.support.simulated import START, World, make_world


def fetches_in(world: World, seconds: float) -> int:
    before = world.flagsmith.calls
    world.run(seconds)
    return world.flagsmith.calls - before


def test_greetings_with_an_epoch_that_the_api_never_has() -> None:
    """Flagsmith's issue 2177: clients refetched at every reconnect, forever."""
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
    # A change while the stream is down is not announced. Polling finds it.
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
    """Each change is served at once, and fetched by up to nine calls until the headers have it."""
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


def test_a_flood_of_absurd_epochs_is_fetched_once_each() -> None:
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


def test_a_failing_api_costs_only_the_polls() -> None:
    world = make_world("document")
    world.flagsmith.failing = True
    world.connect()
    world.run(3600.0)
    assert world.counts.failures <= 9 + 3600 / 54 + 1
