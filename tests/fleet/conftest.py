"""Fixtures of the tests with a Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.fleet import FleetMember
from tests.support.fleets import QUICK, Members
from tests.support.redis_server import Gate, RedisServer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the times of fleets for one test."""
    monkeypatch.setattr(FleetMember, "timings", QUICK)


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
