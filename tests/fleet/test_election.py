"""The election: roles, delays, and which flags a member takes or stores."""

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
)

TIMINGS = FleetTimings()
numbers = st.floats(0.001, 1, exclude_max=True)
#: The outcomes of a heartbeat.
outcomes = st.sampled_from(["leads", "follows", "fails"])


def make_election(random: float = 0.5) -> Election:
    return Election(TIMINGS, random=lambda: random)


@given(outcome=outcomes, number=numbers)
def test_the_first_heartbeat_gives_a_role(outcome: str, number: float) -> None:
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
def test_the_role_is_that_of_redis_or_kept_or_alone(tries: list[tuple[str, float]]) -> None:
    now, failing_since = 0.0, math.inf
    election = Election(TIMINGS)
    for outcome, number in tries:
        election.random = partial(float, number)
        before = election.role
        if outcome == "fails":
            failing_since = min(failing_since, now)
            delay = election.failed(now)
            assert 0 <= delay <= TIMINGS.longest_retry_seconds
            if before is None:
                assert election.role is Role.ALONE
            if election.role is not Role.ALONE:
                # The role is kept, but not for longer than the patience.
                assert election.role is before
                assert now + delay <= failing_since + TIMINGS.patience_seconds + 1e-9
        else:
            failing_since = math.inf
            delay = election.answered(outcome == "leads", 15.0)
            assert election.role is (Role.LEADER if outcome == "leads" else Role.FOLLOWER)
            assert 0.9 * TIMINGS.beat_seconds <= delay <= 1.1 * TIMINGS.beat_seconds
        now += delay


@given(number=numbers)
def test_one_failed_heartbeat_keeps_the_role(number: float) -> None:
    election = make_election(number)
    election.answered(False, 15.0)
    delay = election.failed(100.0)
    assert election.role is Role.FOLLOWER
    assert delay <= 0.5
    election.failed(100.0 + delay)
    assert election.role is Role.FOLLOWER


@given(number=numbers)
def test_the_time_until_a_member_continues_alone_has_jitter(number: float) -> None:
    election = make_election(number)
    election.answered(False, 15.0)
    now = delay = 0.0
    while election.role is not Role.ALONE:
        now += delay
        delay = election.failed(now)
    assert math.isclose(now, TIMINGS.patience_seconds * (0.2 + 0.8 * number))


@given(lock=st.floats(-0.002, 15), number=numbers)
def test_a_follower_tries_to_lead_as_soon_as_the_lock_expires(lock: float, number: float) -> None:
    delay = make_election(number).answered(False, lock)
    assert delay <= max(lock, 0) + 0.5
    assert delay <= 1.1 * TIMINGS.beat_seconds


def test_tries_to_join_again_are_few() -> None:
    election = make_election(0.5)
    now, tries = 0.0, 0
    while now < 3600:
        now += election.failed(now)
        tries += 1
    assert tries <= 3600 / (0.5 * TIMINGS.longest_retry_seconds) + 10


def test_a_leader_that_cannot_store_does_not_try_to_lead_for_a_while() -> None:
    election = make_election(0.5)
    election.answered(True, 15.0)
    assert election.gave_up() == TIMINGS.unfit_seconds
    assert election.role is Role.ALONE


def test_the_patience_is_shorter_than_the_expiry_of_the_lock() -> None:
    assert 2 * TIMINGS.beat_seconds < TIMINGS.expiry_seconds
    assert TIMINGS.patience_seconds < TIMINGS.expiry_seconds


epochs = st.sampled_from([None, 1.0, 2.0, 3.0])


@given(held=epochs, found=epochs, same=st.booleans(), leads=st.booleans(), replaced=epochs)
def test_the_held_epoch_falls_only_when_the_leader_replaces_it(
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
    """The flags of a process or of Redis."""

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
def test_in_any_order_all_members_end_with_the_same_flags(
    stored: Copy, copies: list[Copy], order: list[int]
) -> None:
    # The first copy is the leader's. Redis takes what its script allows.
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
