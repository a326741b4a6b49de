"""A fleet whose Redis fails: all members follow Flagsmith."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import redis
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, flags, flags_changed
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.engine import RefreshHint
from flask_flagsmith_realtime.fleet import FleetMember, redis_client, redis_store
from flask_flagsmith_realtime.fleet.election import Role
from flask_flagsmith_realtime.storage import pack
from tests.support.apps import Received
from tests.support.fleets import QUICK, Members, calls
from tests.support.logs import events
from tests.support.redis_server import Gate, RedisServer
from tests.support.waiting import PATIENCE_SECONDS, eventually

Break = Callable[[RedisServer], None]


def kill(server: RedisServer) -> None:
    server.stop()


def hang(server: RedisServer) -> None:
    server.signal(signal.SIGSTOP)


def fill(server: RedisServer) -> None:
    server.client.config_set("maxmemory", "1")


def make_read_only(server: RedisServer) -> None:
    # A replica of a master that does not exist keeps its data and refuses writes.
    server.client.replicaof("127.0.0.1", 9)


def refuse_writes(server: RedisServer) -> None:
    # As a Redis that cannot save to its disk does.
    server.client.config_set("min-replicas-to-write", "1")


def set_password(server: RedisServer) -> None:
    server.client.config_set("requirepass", "secret")
    server.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    server.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


def start(server: RedisServer) -> None:
    server.start()


def resume(server: RedisServer) -> None:
    server.signal(signal.SIGCONT)


def lift_the_limit(server: RedisServer) -> None:
    server.client.config_set("maxmemory", "0")


def make_writable(server: RedisServer) -> None:
    server.client.replicaof("NO", "ONE")


def take_writes(server: RedisServer) -> None:
    server.client.config_set("min-replicas-to-write", "0")


def remove_password(server: RedisServer) -> None:
    server.client.config_set("requirepass", "")


@pytest.mark.parametrize(
    ("break_", "repair", "words"),
    [
        pytest.param(kill, start, "connection refused", id="killed"),
        pytest.param(hang, resume, "no answer in time", id="hangs"),
        pytest.param(fill, lift_the_limit, "it is full", id="full"),
        pytest.param(make_read_only, make_writable, "it is read-only", id="read-only"),
        pytest.param(refuse_writes, take_writes, "too few replicas", id="refuses writes"),
        pytest.param(set_password, remove_password, "does not accept the user", id="password"),
    ],
)
def test_without_redis_each_member_continues_alone_and_joins_again(
    members: Members,
    redis_server: RedisServer,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    break_: Break,
    repair: Break,
    words: str,
) -> None:
    members.start(3)
    assert emulator.wait_for_streams(1)
    assert members.leader
    members.wait_for_flags()
    break_(redis_server)
    members.wait_for_role("alone")
    assert emulator.wait_for_streams(3)
    emulator.set_flag("banner_text", value="without Redis")
    members.wait_for("without Redis")
    repair(redis_server)
    assert members.leader
    assert emulator.wait_for_streams(1)
    before = calls(emulator)
    emulator.set_flag("banner_text", value="with Redis")
    members.wait_for("with Redis")
    assert calls(emulator) == before + 1
    warnings = [
        record.getMessage()
        for record in caplog.records
        if record.__dict__.get("flagsmith_event") == "fleet_trouble"
    ]
    assert [line for line in warnings if words in line], warnings
    # One line for each process and cause; a failure may have two causes, one after the other.
    assert len(warnings) <= 2 * len(members.all), warnings
    eventually(lambda: events(caplog).count("fleet_recovered") >= 3, lambda: events(caplog))


def test_cut_connections_do_not_change_the_leader(
    members: Members,
    redis_server: RedisServer,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # A member that is slow to connect again does not run out of patience.
    members.pace = replace(QUICK, patience_seconds=300.0)
    members.start(3)
    assert emulator.wait_for_streams(1)
    leader = members.leader
    members.wait_for_flags()
    before = calls(emulator)
    for number in range(3):
        redis_server.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        redis_server.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        emulator.set_flag("banner_text", value=f"number {number}")
        members.wait_for(f"number {number}")
    assert members.leader is leader
    assert calls(emulator) == before + 3
    assert emulator.streams_opened == 1
    assert "fleet_trouble" not in events(caplog)


def test_an_emptied_redis_is_filled_again(
    members: Members, redis_server: RedisServer, emulator: Emulator
) -> None:
    members.start(3)
    leader = members.leader
    members.wait_for_flags()
    before = calls(emulator)
    redis_server.client.flushall()
    eventually(lambda: set(redis_server.keys()) == {"environment", "leader"})
    (new,) = members.start(1)
    eventually(lambda: new.banner == leader.banner)
    # The lock was lost as well: the process that took it has fetched once.
    assert members.leader
    assert calls(emulator) <= before + 1


def test_all_members_keep_the_newest_flags_when_redis_restarts_empty(
    members: Members, redis_server: RedisServer, emulator: Emulator
) -> None:
    members.start(3)
    assert members.leader
    emulator.set_flag("banner_text", value="the newest")
    members.wait_for("the newest")
    redis_server.stop()
    redis_server.start()
    eventually(lambda: set(redis_server.keys()) == {"environment", "leader"})
    assert members.leader
    members.wait_for("the newest")
    assert emulator.wait_for_streams(1)


def test_an_absent_redis_does_not_delay_the_start(
    members: Members,
    redis_server: RedisServer,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    redis_server.stop()
    members.start(2)
    for member in members.all:
        with member.app.app_context():
            assert flags["banner_text"]
    assert emulator.wait_for_streams(2)
    assert events(caplog).count("fleet_trouble") == 2
    redis_server.start()
    assert members.leader
    assert emulator.wait_for_streams(1)


@pytest.mark.usefixtures("hasty")
def test_a_redis_that_never_answers_hardly_delays_the_first_flags(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts: list[float] = []

    def open_client(*arguments: Any) -> redis.Redis:
        client = redis_client.open_client(*arguments)
        timeouts.append(client.connection_pool.connection_kwargs["socket_timeout"])
        return client

    monkeypatch.setattr(redis_store, "open_client", open_client)
    with socket.create_server(("127.0.0.1", 0)) as deaf, ThreadPoolExecutor() as pool:
        ended = pool.submit(wait_for_the_end, deaf)
        members.settings["FLAGSMITH_REDIS_URL"] = f"redis://127.0.0.1:{deaf.getsockname()[1]}"
        (member,) = members.start(1)
        with member.app.app_context():
            assert flags["banner_text"]
        ended.result(PATIENCE_SECONDS)
        # Requests may wait for the first connection; none waits for later ones.
        first, later = timeouts
        assert first < later / 2
        members.stop(member)


def wait_for_the_end(server: socket.socket) -> None:
    """Accept a connection, and answer nothing until its client closes it."""
    connection, _ = server.accept()
    with connection:
        while connection.recv(65536):
            pass


@pytest.mark.usefixtures("hasty")
def test_flags_that_do_not_come_from_redis_are_fetched(
    members: Members, redis_server: RedisServer, gate: Gate
) -> None:
    members.start(1)
    redis_server.wait_for_flags()
    assert members.leader
    # It reads that there are flags and a leader; but the flags do not come.
    (cut_off,) = members.start(1, REDIS_URL=gate.url)
    with cut_off.app.app_context():
        assert flags["banner_text"]
    assert cut_off.calls == 1


def test_the_heartbeat_finds_flags_whose_message_was_missed(
    members: Members, redis_server: RedisServer, emulator: Emulator
) -> None:
    members.start(2)
    assert members.leader
    members.wait_for_flags()
    # As if the leader had written it, without the message.
    newer = replace(members.leader.snapshot, epoch=time.time() + 1)
    key = emulator.config["FLAGSMITH_ENVIRONMENT_KEY"]
    redis_server.client.hset(
        redis_server.keys()["environment"],
        mapping={
            "version": "by hand",
            "epoch": repr(newer.epoch),
            "content": f"{newer.content_digest} {newer.epoch!r}",
            "data": pack(newer, key),
        },
    )
    eventually(lambda: all(member.snapshot.epoch == newer.epoch for member in members.all))


def test_a_change_that_is_fetched_just_before_a_member_follows_reaches_all(
    members: Members,
    redis_server: RedisServer,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    members.start(2, ENABLE_REALTIME_UPDATES=False, ENVIRONMENT_REFRESH_INTERVAL_SECONDS=7200)
    assert members.leader
    members.wait_for_flags()
    hang(redis_server)
    members.wait_for_role("alone")
    replace_source = FleetMember._replace_source

    def replace_after_a_fetch(self: FleetMember, *args: Any) -> None:
        if self._role is Role.FOLLOWER:
            # A webhook, as long as the member still fetches for itself.
            emulator.set_flag("banner_text", value="at the last moment")
            self.refresh(RefreshHint())
            eventually(lambda: self._publisher.held.flags["banner_text"].value.startswith("at the"))
        replace_source(self, *args)

    monkeypatch.setattr(FleetMember, "_replace_source", replace_after_a_fetch)
    resume(redis_server)
    members.wait_for("at the last moment")
    assert members.leader


def test_changes_are_signalled_once_although_redis_fails_in_between(
    members: Members, redis_server: RedisServer, emulator: Emulator
) -> None:
    members.start(2)
    assert members.leader
    members.wait_for_flags()
    changed = [Received(flags_changed, member.app) for member in members.all]
    for number, step in enumerate((redis_server.stop, redis_server.start)):
        step()
        emulator.set_flag("banner_text", value=f"number {number}")
        # Changes that wait for the dispatcher together would be merged.
        for received in changed:
            received.wait(number + 1)
    assert members.leader
    emulator.set_flag("banner_text", value="last")
    for received in changed:
        received.wait(3)
        values = [content["changes"]["banner_text"].after.value for content in received.all]
        assert values == ["number 0", "number 1", "last"]


def test_stopping_closes_all_connections_to_redis(
    members: Members, redis_server: RedisServer
) -> None:
    members.start(2)
    assert members.leader
    for member in list(members.all):
        members.stop(member)
    # The lock is released over a connection of its own.
    eventually(lambda: set(redis_server.keys()) == {"environment"}, redis_server.keys)
    eventually(
        lambda: len(redis_server.client.client_list()) == 1,
        redis_server.client.client_list,
    )


def test_an_app_under_test_opens_no_connection_to_redis(emulator: Emulator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as watched:
        watched.setblocking(False)
        app = Flask("under_test")
        app.testing = True
        app.config.update(
            emulator.config,
            FLAGSMITH_REDIS_URL=f"redis://127.0.0.1:{watched.getsockname()[1]}",
        )
        FlagsmithRealtime(app)
        with app.app_context():
            assert not flags["banner_text"]
        with pytest.raises(BlockingIOError):
            watched.accept()
