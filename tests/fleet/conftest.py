"""Fixtures of the tests with a Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.fleet import FleetMember, redis_store
from tests.support.fleets import QUICK, Members
from tests.support.redis_server import Gate, RedisServer
from tests.support.waiting import PATIENCE_SECONDS

FIRST_ANSWERS_SECONDS = redis_store._FIRST_ANSWERS_SECONDS


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the times of fleets for one test. Redis may take long for its first answers."""
    monkeypatch.setattr(FleetMember, "timings", QUICK)
    monkeypatch.setattr(redis_store, "_FIRST_ANSWERS_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(redis_store, "_CONFIRMATION_SECONDS", PATIENCE_SECONDS / 6)


@pytest.fixture
def hasty(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for Redis's first answers only as long as a real process does."""
    monkeypatch.setattr(redis_store, "_FIRST_ANSWERS_SECONDS", FIRST_ANSWERS_SECONDS)


@pytest.fixture
def gate(redis_server: RedisServer) -> Iterator[Gate]:
    made = Gate(redis_server.port)
    yield made
    made.close()


@pytest.fixture
def members(redis_server: RedisServer, emulator: Emulator) -> Iterator[Members]:
    made = Members({**emulator.config, "FLAGSMITH_REDIS_URL": redis_server.url})
    yield made
    for member in made.all:
        member.stop()
