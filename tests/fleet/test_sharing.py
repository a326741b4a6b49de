"""A fleet without faults: one stream, one call a change, and all members follow."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from flask_flagsmith_realtime import flags, flags_changed, snapshot_refreshed
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.engine import Publisher
from flask_flagsmith_realtime.fleet.follower import RedisSource
from flask_flagsmith_realtime.fleet.redis_store import Beat, RedisStore
from flask_flagsmith_realtime.fleet.shared import SharedFlags
from tests.support.apps import Received
from tests.support.fleets import QUICK, Members, calls
from tests.support.redis_server import RedisServer
from tests.support.waiting import PATIENCE_SECONDS, eventually


def test_a_cold_start_of_fifty_members_costs_one_call(members: Members, emulator: Emulator) -> None:
    emulator.set_flag("banner_text", value="cold")
    members.start(50)
    members.wait_for("cold")
    assert members.leader.calls == 1
    assert calls(emulator) == 1
    assert emulator.wait_for_streams(1)


def test_a_change_costs_one_call_and_reaches_all_members(
    members: Members, emulator: Emulator
) -> None:
    members.start(4)
    assert emulator.wait_for_streams(1)
    leader = members.leader
    received = {member.app.name: Received(flags_changed, member.app) for member in members.all}
    before = calls(emulator)
    for number in range(5):
        emulator.set_flag("banner_text", value=f"number {number}")
        members.wait_for(f"number {number}")
    assert calls(emulator) == before + 5
    assert emulator.streams == emulator.streams_opened == 1
    for name, signals in received.items():
        signals.wait_for(
            lambda content: content["changes"]["banner_text"].after.value == "number 4"
        )
        # Once per fleet: in the member that fetched.
        assert {content["leader"] for content in signals.all} == {name == leader.app.name}


def test_a_new_member_starts_from_redis_without_a_call(
    members: Members, redis_server: RedisServer, emulator: Emulator
) -> None:
    (first,) = members.start(1)
    assert emulator.wait_for_streams(1)
    emulator.set_flag("banner_text", value="stored")
    members.wait_for("stored")
    # They are stored after they are published.
    redis_server.wait_for_flags(first.snapshot.epoch)
    before = calls(emulator)
    (new,) = members.start(1)
    with new.app.app_context():
        assert flags["banner_text"].value == "stored"
    assert new.calls == 0
    assert calls(emulator) == before
    assert emulator.streams_opened == 1


def test_a_member_starts_from_redis_during_an_outage_of_flagsmith(
    members: Members, redis_server: RedisServer, emulator: Emulator
) -> None:
    emulator.set_flag("banner_text", value="stored")
    (first,) = members.start(1)
    members.wait_for("stored")
    redis_server.wait_for_flags()
    members.stop(first)
    emulator.stop()
    (second,) = members.start(1)

    def serves() -> object:
        with second.app.app_context():
            return flags["banner_text"].value

    # On a busy machine Redis may not answer before the first read gives up.
    eventually(lambda: serves() == "stored", lambda: str(serves()))
    emulator.start()


def test_a_restarted_leader_catches_up_with_one_call(members: Members, emulator: Emulator) -> None:
    (first,) = members.start(1)
    assert emulator.wait_for_streams(1)
    members.stop(first)
    assert emulator.wait_for_streams(0)
    emulator.set_flag("banner_text", value="meanwhile")
    before = calls(emulator)
    members.start(1)
    members.wait_for("meanwhile")
    assert emulator.wait_for_streams(1)
    assert members.leader.calls == 1
    assert calls(emulator) == before + 1


def test_a_leader_that_stops_hands_over_at_once(members: Members, emulator: Emulator) -> None:
    members.start(3)
    assert emulator.wait_for_streams(1)
    leader = members.leader
    members.stop(leader)
    assert members.leader is not leader
    emulator.set_flag("banner_text", value="under another")
    members.wait_for("under another")
    assert emulator.wait_for_streams(1)


def test_remote_evaluation_is_shared(members: Members, emulator: Emulator) -> None:
    members.settings["FLAGSMITH_ENVIRONMENT_KEY"] = emulator.client_side_key
    members.start(3)
    assert emulator.wait_for_streams(1)
    members.wait_for_flags()
    assert members.leader.calls == 1
    emulator.set_flag("banner_text", value="remote")
    members.wait_for("remote")
    assert calls(emulator) == 2


def test_an_override_for_an_identity_reaches_all_members_although_the_epoch_stays(
    members: Members, emulator: Emulator
) -> None:
    members.start(3, LIVE_REFRESH_INTERVAL_SECONDS=0.3)
    members.wait_for_flags()
    changed = [Received(flags_changed, member.app) for member in members.all]
    with emulator.silent():
        emulator.override_identity("alice", "banner_text", value="for alice")
    for received in changed:
        assert received.wait()["changes"]["banner_text"].targeting_changed


def test_a_poll_without_a_change_sends_no_signal_in_followers(
    members: Members, emulator: Emulator
) -> None:
    members.start(2, LIVE_REFRESH_INTERVAL_SECONDS=0.2)
    leader = members.leader
    members.wait_for_flags()
    (follower,) = members.of_role("follower")
    refreshed = Received(snapshot_refreshed, follower.app)
    emulator.set_flag("banner_text", value="a change")
    refreshed.wait_for(lambda content: content["snapshot"].flags["banner_text"].value == "a change")
    refreshed.all.clear()
    before = leader.calls
    eventually(lambda: leader.calls >= before + 3)
    assert not refreshed.all


def test_two_environments_share_a_redis(members: Members, redis_server: RedisServer) -> None:
    with Emulator() as other:
        other.set_flag("banner_text", value="of the other")
        members.start(2)
        members.wait_for_flags()
        here = members.all[0].banner
        others = Members({**other.config, "FLAGSMITH_REDIS_URL": redis_server.url})
        others.start(2)
        others.wait_for("of the other")
        assert others.leader.calls == 1
        assert {member.banner for member in members.all} == {here}
        for member in others.all:
            member.stop()


def test_the_environment_key_is_not_in_redis(
    members: Members, redis_server: RedisServer, emulator: Emulator
) -> None:
    messages = redis_server.client.pubsub()
    messages.psubscribe("*")
    members.start(2)
    members.wait_for_flags()
    key = emulator.server_side_key
    assert set(redis_server.keys()) == {"environment", "leader"}
    for name in redis_server.client.keys("*"):
        assert key not in name
    assert key not in str(redis_server.client.hgetall(redis_server.keys()["environment"]))
    while message := messages.get_message(timeout=0.2):
        assert key not in str(message)
    messages.close()


def test_threads_are_named_daemons(members: Members) -> None:
    members.start(1)
    assert members.leader
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("flagsmith-")]
    assert "flagsmith-fleet" in {thread.name for thread in ours}
    assert all(thread.daemon for thread in ours)


def test_the_age_of_a_followers_flags_is_that_of_the_leaders(
    members: Members, emulator: Emulator
) -> None:
    members.start(2, LIVE_REFRESH_INTERVAL_SECONDS=0.3)
    leader = members.leader
    members.wait_for_flags()
    (follower,) = members.of_role("follower")
    began, before = time.time(), leader.calls
    # The leader fetches the same flags again; the follower has nothing to read.
    eventually(lambda: leader.calls >= before + 8)
    eventually(lambda: (follower.flagsmith.status.age_seconds or 0) < time.time() - began)
    eventually(lambda: follower.flagsmith.status.state == "live")


def test_a_follower_has_the_state_of_its_leader(members: Members, emulator: Emulator) -> None:
    members.start(3, ENVIRONMENT_REFRESH_INTERVAL_SECONDS=0.3)
    assert members.leader
    members.wait_for_state("live")
    # Only the leader notices: a follower makes no calls.
    emulator.stop()
    members.wait_for_state("stale")
    eventually(lambda: all(member.flagsmith.status.last_error for member in members.all))
    emulator.start()
    members.wait_for_state("live")


def test_a_follower_of_a_polling_leader_is_polling(members: Members) -> None:
    members.start(2, ENABLE_REALTIME_UPDATES=False)
    assert members.leader
    members.wait_for_flags()
    members.wait_for_state("polling")


def test_a_member_runs_while_it_takes_another_role(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, goes_on = RedisSource.start, threading.Event()

    def start_late(source: RedisSource, publisher: Publisher) -> bool:
        goes_on.wait(PATIENCE_SECONDS)
        return start(source, publisher)

    monkeypatch.setattr(RedisSource, "start", start_late)
    members.start(1)
    members.wait_for_flags()
    (new,) = members.start(1)
    # It holds the shared flags; the source before has stopped, the next one starts.
    eventually(lambda: new.snapshot)
    status = new.flagsmith.status
    goes_on.set()
    assert status.running
    assert status.state == "polling"


def test_a_member_that_stops_while_it_takes_a_role_publishes_nothing_more(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconcile = SharedFlags.reconcile
    entered, goes_on = threading.Event(), threading.Event()

    def reconcile_late(shared: SharedFlags, held: Any, *arguments: Any, **options: Any) -> Any:
        found = reconcile(shared, held, *arguments, **options)
        if held is None:
            entered.set()
            goes_on.wait(PATIENCE_SECONDS)
        return found

    members.start(1)
    members.wait_for_flags()
    monkeypatch.setattr(SharedFlags, "reconcile", reconcile_late)
    (new,) = members.start(1)
    assert entered.wait(PATIENCE_SECONDS)
    source = new.source
    members.stop(new)
    goes_on.set()
    eventually(lambda: not source.is_alive)
    assert new.snapshot is None


def test_a_member_that_fails_to_take_a_role_tries_again(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconcile, failures = SharedFlags.reconcile, iter([MemoryError()])

    def fail_once(*arguments: Any, **options: Any) -> Any:
        for error in failures:
            raise error
        return reconcile(*arguments, **options)

    members.start(1)
    members.wait_for_flags()
    monkeypatch.setattr(SharedFlags, "reconcile", fail_once)
    (new,) = members.start(1)
    members.wait_for_flags()
    assert members.leader is not new
    assert new.calls == 0


def test_the_status_shows_the_leader(members: Members, redis_server: RedisServer) -> None:
    members.start(2)
    leader = members.leader
    assert leader.flagsmith.status.leader is True
    (follower,) = members.of_role("follower")
    assert follower.flagsmith.status.leader is False
    redis_server.stop()
    members.wait_for_role("alone")
    # No process leads or follows.
    assert [member.flagsmith.status.leader for member in members.all] == [None, None]


def test_a_storm_of_webhooks_at_a_follower_sends_one_message_an_interval(
    members: Members, redis_server: RedisServer, emulator: Emulator
) -> None:
    members.start(2, REFRESH_MIN_INTERVAL_SECONDS=0.3)
    leader = members.leader
    members.wait_for_flags()
    (follower,) = members.of_role("follower")
    messages = redis_server.client.pubsub()
    messages.psubscribe("*")
    before, started = leader.calls, time.monotonic()
    while time.monotonic() < started + 1:
        follower.tell()
        time.sleep(0.001)
    emulator.set_flag("banner_text", value="at the end of the storm")
    follower.tell()
    members.wait_for("at the end of the storm")
    passed = time.monotonic() - started
    notes = 0
    while message := messages.get_message(timeout=0.2):
        notes += message["data"] == "note"
    messages.close()
    assert 1 <= notes <= passed / 0.3 + 2
    assert leader.calls > before


def test_only_the_leader_reads_the_hint_of_a_webhook(
    members: Members, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No heartbeat is due during the test; only messages cause one.
    members.pace = replace(QUICK, beat_seconds=300.0, expiry_seconds=900.0)
    members.start(4)
    assert members.leader
    members.wait_for_flags()
    eventually(lambda: redis_server.subscribers() == 4)
    environment = redis_server.wait_for_flags()
    version = redis_server.client.hget(environment, "version")
    eventually(lambda: all(member.known_version == version for member in members.all))
    channel = environment.replace(":environment", ":changes")
    beat, beats = RedisStore.beat, Counter[RedisStore]()

    def count(store: RedisStore, report: str) -> Beat:
        beats[store] += 1
        return beat(store, report)

    monkeypatch.setattr(RedisStore, "beat", count)
    for _ in range(10):
        redis_server.client.publish(channel, "note")
    # This message concerns all members; it comes after the others.
    redis_server.client.publish(channel, "free")
    eventually(lambda: sorted(beats.values()) == [1, 1, 1, 11], beats.values)


@pytest.mark.parametrize("timeout", [0, 5])
def test_the_first_read_waits_no_longer_than_the_startup_timeout(
    members: Members, timeout: float
) -> None:
    (member,) = members.start(1, STARTUP_TIMEOUT_SECONDS=timeout)
    with member.app.app_context():
        assert flags.get_feature_value("banner_text", default="by default")
