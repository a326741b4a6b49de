"""A fleet whose flags in Redis are damaged."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.fleets import QUICK, Members, calls
from tests.support.logs import events
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually


@pytest.mark.parametrize(
    "damage",
    [{"version": "evil", "data": '{"format": 1}'}, {"version": "evil", "epoch": "9e99"}],
    ids=["data", "epoch"],
)
def test_the_leader_replaces_damaged_flags(
    members: Members,
    redis_server: RedisServer,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    damage: dict[str, str],
) -> None:
    # The followers wait long before they continue alone.
    members.pace = replace(QUICK, patience_seconds=300.0)
    members.start(3)
    assert emulator.wait_for_streams(1)
    leader = members.leader
    members.wait_for_flags()
    before = calls(emulator)
    environment = redis_server.wait_for_flags()
    redis_server.client.hset(environment, mapping={"data": "?", **damage})
    eventually(lambda: redis_server.client.hget(environment, "version") not in ("evil", None))
    assert members.leader is leader
    emulator.set_flag("banner_text", value="right")
    members.wait_for("right")
    assert calls(emulator) == before + 1
    assert emulator.streams_opened == 1
    assert events(caplog).count("fleet_flags_replaced") == 1
    assert "fleet_recovered" not in events(caplog)


def test_a_follower_reports_damage_to_the_leader(
    members: Members, redis_server: RedisServer, emulator: Emulator
) -> None:
    members.start(1)
    leader = members.leader
    # The version stays, so the leader does not read it again.
    redis_server.client.hset(redis_server.wait_for_flags(), "data", "damaged")
    members.start(1)
    members.wait_for_flags()
    assert members.leader is leader
    emulator.set_flag("banner_text", value="right")
    members.wait_for("right")
    assert emulator.wait_for_streams(1)


def test_a_new_leader_replaces_damaged_flags(
    members: Members, redis_server: RedisServer, emulator: Emulator
) -> None:
    (first,) = members.start(1)
    environment = redis_server.wait_for_flags()
    members.stop(first)
    redis_server.client.hset(environment, "data", "damaged")
    members.start(3)
    members.wait_for_flags()
    assert members.leader
    emulator.set_flag("banner_text", value="right")
    members.wait_for("right")
    assert emulator.wait_for_streams(1)


def test_the_status_of_a_follower_shows_no_traceback(
    members: Members, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise LookupError("a mistake of ours")

    members.pace = replace(QUICK, beat_seconds=300.0, expiry_seconds=900.0)
    members.start(2)
    assert members.leader
    members.wait_for_flags()
    (follower,) = members.of_role("follower")
    monkeypatch.setattr(follower.source._shared, "read", fail)
    redis_server.client.publish(
        redis_server.wait_for_flags().replace(":environment", ":changes"), "stored another"
    )
    error = eventually(lambda: follower.flagsmith.status.last_error)
    assert error == "The flags in Redis could not be read: LookupError: a mistake of ours"
