"""Delays, as values."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_flagsmith_realtime.client.backoff import (
    LONGEST_RETRY_AFTER_SECONDS,
    RETRY_SECONDS,
    Reconnect,
    bounded_retry_after,
    jitter,
    retry_delay,
)

randoms = st.floats(0, 1, exclude_max=True).map(lambda number: lambda: number)
seconds = st.floats(0, 1e6)


def test_the_retries_of_a_call_take_a_little_more_than_a_minute() -> None:
    shortest = sum(retry_delay(tries, lambda: 0.0) for tries in range(len(RETRY_SECONDS)))
    longest = sum(retry_delay(tries, lambda: 1.0) for tries in range(len(RETRY_SECONDS)))
    assert (shortest, longest) == (63.75, pytest.approx(76.5))


@given(seconds, randoms)
def test_jitter_is_ten_percent(delay: float, random: object) -> None:
    assert 0.9 * delay <= jitter(delay, random) <= 1.1 * delay  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "honoured"),
    [(None, None), (-5.0, 0.0), (0.0, 0.0), (30.0, 30.0), (1e9, LONGEST_RETRY_AFTER_SECONDS)],
)
def test_retry_after_is_honoured_within_bounds(asked: float | None, honoured: float | None) -> None:
    assert bounded_retry_after(asked) == honoured


def test_failures_double_the_ceiling_from_one_second_to_thirty() -> None:
    reconnect, ceilings = Reconnect(), []
    for _ in range(8):
        delay, reconnect = reconnect.after_failure(lambda: 1.0)
        ceilings.append(delay)
    assert ceilings == [1, 2, 4, 8, 16, 30, 30, 30]
    assert Reconnect(failures=10**9).after_failure(lambda: 1.0)[0] == 30


def test_the_jitter_is_full() -> None:
    assert Reconnect(failures=20).after_failure(lambda: 0.0)[0] == 0
    assert Reconnect(failures=20).after_failure(lambda: 0.5)[0] == 15


@pytest.mark.parametrize(
    ("retry", "first_ceiling"), [(0.0, 1.0), (0.001, 1.0), (15.0, 15.0), (1e9, 30.0)]
)
def test_the_servers_retry_is_the_base_within_bounds(retry: float, first_ceiling: float) -> None:
    assert Reconnect().with_retry(retry).after_failure(lambda: 1.0)[0] == first_ceiling


def test_only_a_connection_that_lived_resets_the_backoff() -> None:
    down = Reconnect(failures=5)
    assert down.after_connection(30.0)[1].failures == 0
    assert down.after_connection(0.7)[1].failures == 5
    assert down.after_connection(0.1)[1].failures == 6


def test_a_connection_that_the_service_ends_is_reopened_at_once_whatever_retry_says() -> None:
    delay, _ = Reconnect().with_retry(30.0).after_connection(30.0, lambda: 1.0)
    assert delay == 1.0


@given(st.floats(0.5, 100), randoms)
def test_connections_that_lived_are_a_second_apart(lived: float, random: object) -> None:
    delay, _ = Reconnect().after_connection(lived, random)  # type: ignore[arg-type]
    assert lived + delay >= 1


def test_a_refusal_is_tried_again_after_minutes() -> None:
    assert Reconnect().after_refusal(None, lambda: 0.0)[0] == 270
    assert Reconnect().after_refusal(None, lambda: 1.0)[0] == pytest.approx(330)
    assert Reconnect().after_refusal(500.0, lambda: 0.0)[0] == 500
    assert Reconnect().after_refusal(1e9)[0] == LONGEST_RETRY_AFTER_SECONDS


@given(st.floats(0, 600), randoms, st.integers(0, 50))
def test_no_reconnect_comes_before_the_retry_after(
    asked: float, random: object, failures: int
) -> None:
    delay, following = Reconnect(failures).after_failure(random, asked)  # type: ignore[arg-type]
    assert delay >= asked
    assert following.failures == failures + 1


@pytest.mark.parametrize(
    "kind", ["refused", "overloaded for no time", "broken at once", "flapping"]
)
def test_ten_tries_in_a_row_take_ten_seconds_on_average(kind: str) -> None:
    source = random.Random(1)
    total, rounds = 0.0, 300
    for _ in range(rounds):
        reconnect = Reconnect()
        for attempt in range(10):
            if kind == "overloaded for no time":
                delay, reconnect = reconnect.after_failure(source.random, 0.0)
            elif kind == "broken at once":
                delay, reconnect = reconnect.after_connection(0.0, source.random)
            elif kind == "flapping" and attempt % 2:
                total += 0.6
                delay, reconnect = reconnect.after_connection(0.6, source.random)
            else:
                delay, reconnect = reconnect.after_failure(source.random)
            total += delay
    assert total / rounds >= 10
