"""The circuit: who may ask a server that has failed, and when."""

from __future__ import annotations

from flask_flagsmith_realtime.client.backoff import LONGEST_RETRY_AFTER_SECONDS, RETRY_SECONDS
from flask_flagsmith_realtime.identities.circuit_breaker import CircuitBreaker


def make() -> CircuitBreaker:
    return CircuitBreaker(random=lambda: 0.0)


def test_everybody_may_ask_while_it_works() -> None:
    circuit = make()
    assert [circuit.enter(0), circuit.enter(0), circuit.enter(1)] == [True, True, True]
    circuit.worked()
    assert circuit.enter(1)


def test_after_a_failure_no_call_is_allowed_for_a_while_and_then_one() -> None:
    circuit = make()
    assert circuit.enter(0)
    circuit.failed(0)
    assert not circuit.enter(0.24)
    assert circuit.enter(0.25)
    assert not circuit.enter(0.25)
    assert not circuit.enter(100)
    circuit.worked()
    assert circuit.enter(100)
    assert circuit.enter(100)


def test_the_while_grows() -> None:
    circuit = make()
    now = 0.0
    for seconds in (*RETRY_SECONDS, RETRY_SECONDS[-1], RETRY_SECONDS[-1]):
        assert circuit.enter(now)
        circuit.failed(now)
        assert not circuit.enter(now + seconds - 0.01)
        now += seconds
    circuit.worked()
    circuit.failed(now)
    assert circuit.enter(now + RETRY_SECONDS[0])


def test_failures_together_count_once() -> None:
    circuit = make()
    for _ in range(8):
        assert circuit.enter(0)
    for _ in range(8):
        circuit.failed(0.1)
    assert circuit.enter(0.36)


def test_honours_retry_after() -> None:
    circuit = make()
    circuit.failed(0, retry_after=5)
    assert not circuit.enter(4.9)
    assert circuit.enter(5)
    circuit.failed(5, retry_after=1e9)
    assert circuit.enter(5 + LONGEST_RETRY_AFTER_SECONDS)


def test_who_gave_up_leaves_the_place_to_the_next() -> None:
    circuit = make()
    circuit.failed(0)
    assert circuit.enter(1)
    circuit.given_up()
    assert circuit.enter(1)


def test_jitter_only_adds() -> None:
    circuit = CircuitBreaker(random=lambda: 1.0)
    circuit.failed(0)
    assert not circuit.enter(0.25)
    assert circuit.enter(0.31)
