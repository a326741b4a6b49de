"""Leaders that cannot do their work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.fleets import QUICK, Members
from tests.support.logs import events
from tests.support.redis_server import Gate, RedisServer
from tests.support.waiting import eventually


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("what", ["flags", "beats"])
def test_a_process_without_answers_from_redis_does_not_lead(
    members: Members, redis_server: RedisServer, emulator: Emulator, gate: Gate, what: str
) -> None:
    if what == "beats":
        # Only these answers have six parts.
        gate.holds = lambda answer: answer.startswith(b"*7\r\n")
    # The lock does not expire during the test.
    members.pace = replace(QUICK, expiry_seconds=300.0)
    (first,) = members.start(1)
    redis_server.wait_for_flags()
    members.stop(first)
    # It can take the lock, but reads no flags, or not even the name of the leader.
    (cut_off,) = members.start(1, REDIS_URL=gate.url)
    eventually(lambda: cut_off.role == "alone")
    (other,) = members.start(1)
    eventually(lambda: other.role == "leader")
    for number in range(3):
        emulator.set_flag("banner_text", value=f"number {number}")
        members.wait_for(f"number {number}")
    assert (cut_off.role, other.role) == ("alone", "leader")


def test_a_leader_that_cannot_store_resigns(
    members: Members,
    redis_server: RedisServer,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    members.start(2)
    first = members.leader
    members.wait_for_flags()
    # Beats succeed, but flags cannot be stored.
    redis_server.client.execute_command("ACL", "SETUSER", "default", "-hset")
    emulator.set_flag("banner_text", value="not stored")
    members.wait_for("not stored")
    members.wait_for_role("alone")
    assert "fleet_trouble" in events(caplog)
    assert first.banner == "not stored"
    assert emulator.wait_for_streams(2)


def test_a_leader_that_cannot_reach_flagsmith_resigns(members: Members, emulator: Emulator) -> None:
    (cut_off,) = members.start(1, PROXIES={"http": "http://127.0.0.1:9"})
    members.wait_for_role("leader")
    members.start(1)
    members.wait_for_flags()
    assert members.leader is not cut_off
    emulator.set_flag("banner_text", value="also there")
    members.wait_for("also there")


def test_the_only_member_keeps_leading_during_an_outage_of_flagsmith(
    members: Members, emulator: Emulator
) -> None:
    emulator.stop()
    (member,) = members.start(1)
    # After so many failures it resigns, and no other process takes the lead.
    eventually(lambda: member.calls >= 4)
    emulator.start()
    members.wait_for_flags()
    assert members.leader is member
