"""Which role follows from what, and what becomes of flags that many put into one place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_flagsmith_realtime.fleet.election import (
    Election,
    FleetTimings,
    Role,
    Step,
    compare,
    first_role_seconds,
)

PACE = FleetTimings()
numbers = st.floats(0.001, 1, exclude_max=True)
#: What a try brings: who leads, or a failure.
outcomes = st.sampled_from(["leads", "follows", "fails"])


def make_election(random: float = 0.5) -> Election:
    return Election(PACE, random=lambda: random)


@given(outcome=outcomes, number=numbers)
def test_first_try_gives_a_role(outcome: str, number: float) -> None:
    election = make_election(number)
    assert election.role is None
    if outcome == "fails":
        election.failed(0.0)
    else:
        election.answered(outcome == "leads", 10.0)
    assert (
        election.role
        is {
            "leads": Role.LEADER,
            "follows": Role.FOLLOWER,
            "fails": Role.ALONE,
        }[outcome]
    )


@given(tries=st.lists(st.tuples(outcomes, numbers), max_size=60))
def test_role_is_what_redis_names_or_kept_or_alone(tries: list[tuple[str, float]]) -> None:
    now, failing_since = 0.0, math.inf
    election = Election(PACE)
    for outcome, number in tries:
        election.random = partial(float, number)
        before = election.role
        if outcome == "fails":
            failing_since = min(failing_since, now)
            delay = election.failed(now)
            assert 0 <= delay <= PACE.longest_retry_seconds
            if before is None:
                assert election.role is Role.ALONE
            if election.role is not Role.ALONE:
                # Kept for now, but not for longer than it takes to be patient.
                assert election.role is before
                assert now + delay <= failing_since + PACE.patience_seconds + 1e-9
        else:
            failing_since = math.inf
            delay = election.answered(outcome == "leads", 15.0)
            assert election.role is (Role.LEADER if outcome == "leads" else Role.FOLLOWER)
            assert 0.9 * PACE.beat_seconds <= delay <= 1.1 * PACE.beat_seconds
        now += delay


@given(number=numbers)
def test_blip_is_no_reason_to_go_alone(number: float) -> None:
    election = make_election(number)
    election.answered(False, 15.0)
    delay = election.failed(100.0)
    assert election.role is Role.FOLLOWER
    assert delay <= 0.5
    election.failed(100.0 + delay)
    assert election.role is Role.FOLLOWER


@given(number=numbers)
def test_moment_of_going_alone_is_spread(number: float) -> None:
    election = make_election(number)
    election.answered(False, 15.0)
    now = delay = 0.0
    while election.role is not Role.ALONE:
        now += delay
        delay = election.failed(now)
    assert math.isclose(now, PACE.patience_seconds * (0.2 + 0.8 * number))


@given(lock=st.floats(-0.002, 15), number=numbers)
def test_follower_asks_as_soon_as_the_lock_is_free(lock: float, number: float) -> None:
    delay = make_election(number).answered(False, lock)
    assert delay <= max(lock, 0) + 0.5
    assert delay <= 1.1 * PACE.beat_seconds


@given(number=numbers)
def test_wait_for_the_first_role_is_short_and_spread(number: float) -> None:
    assert math.isclose(first_role_seconds(lambda: number), 1.5 + 0.75 * number)


def test_tries_to_join_again_are_few() -> None:
    election = make_election(0.5)
    now, tries = 0.0, 0
    while now < 3600:
        now += election.failed(now)
        tries += 1
    assert tries <= 3600 / (0.5 * PACE.longest_retry_seconds) + 10


def test_leader_that_cannot_store_stays_away() -> None:
    election = make_election(0.5)
    election.answered(True, 15.0)
    assert election.gave_up() == PACE.unfit_seconds
    assert election.role is Role.ALONE


def test_fleet_is_patient_for_less_than_a_leader_may_be_silent() -> None:
    assert 2 * PACE.beat_seconds < PACE.expiry_seconds
    assert PACE.patience_seconds < PACE.expiry_seconds


epochs = st.sampled_from([None, 1.0, 2.0, 3.0])


@given(held=epochs, found=epochs, same=st.booleans(), leads=st.booleans(), replaced=epochs)
def test_held_epoch_never_falls_but_on_purpose(
    held: float | None, found: float | None, same: bool, leads: bool, replaced: float | None
) -> None:
    step = compare(held, found, same=same, leads=leads, replaced=replaced)
    if held is not None and found is not None:
        if found > held:
            assert step is Step.TAKE
        elif found < held and step is Step.TAKE:
            assert replaced is not None
            assert replaced >= held
    if same and held == found:
        assert step is Step.KEEP


@dataclass
class Copy:
    """Flags as one process or Redis holds them."""

    epoch: float
    content: str


contents = st.builds(Copy, st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from(["a", "b"]))


@pytest.mark.slow
@settings(max_examples=300)
@given(
    stored=contents,
    copies=st.lists(contents, min_size=1, max_size=5),
    order=st.lists(st.integers(0, 4), max_size=10),
)
def test_whatever_the_order_all_end_with_the_same(
    stored: Copy, copies: list[Copy], order: list[int]
) -> None:
    # The first of them leads. Redis takes what its script lets through.
    def turn(number: int) -> None:
        nonlocal stored
        held, leads = copies[number], number == 0
        same = held == stored
        step = compare(held.epoch, stored.epoch, same=same, leads=leads, replaced=None)
        if step is Step.TAKE:
            assert stored.epoch >= held.epoch
            copies[number] = stored
        elif step is Step.STORE and (
            held.epoch > stored.epoch or (held.epoch == stored.epoch and leads)
        ):
            stored = held

    newest = max(copy.epoch for copy in (stored, *copies))
    for number in order:
        turn(number % len(copies))
    for _ in range(3):
        for number in range(len(copies)):
            turn(number)
    assert {(copy.epoch, copy.content) for copy in copies} == {(stored.epoch, stored.content)}
    assert stored.epoch == newest
