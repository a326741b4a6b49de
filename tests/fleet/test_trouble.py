"""A fleet whose Redis fails in every way: everybody follows Flagsmith all the same."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, flags, flags_changed
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.apps import Received
from tests.support.fleets import QUICK, Members, calls
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
    # Of a master that is not there: it keeps what it has, and takes no writes.
    server.client.replicaof("127.0.0.1", 9)


def refuse_writes(server: RedisServer) -> None:
    # What a Redis does that cannot save to its disk.
    server.client.config_set("min-replicas-to-write", "1")


def set_password(server: RedisServer) -> None:
    server.client.config_set("requirepass", "secret")
    server.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    server.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


def start(server: RedisServer) -> None:
    server.start()


def go_on(server: RedisServer) -> None:
    server.signal(signal.SIGCONT)


def empty(server: RedisServer) -> None:
    server.client.config_set("maxmemory", "0")


def make_writable(server: RedisServer) -> None:
    server.client.replicaof("NO", "ONE")


def take_writes(server: RedisServer) -> None:
    server.client.config_set("min-replicas-to-write", "0")


def forget_password(server: RedisServer) -> None:
    server.client.config_set("requirepass", "")


@pytest.mark.parametrize(
    ("break_", "mend", "words"),
    [
        pytest.param(kill, start, "connection refused", id="killed"),
        pytest.param(hang, go_on, "no answer in time", id="hangs"),
        pytest.param(fill, empty, "it is full", id="full"),
        pytest.param(make_read_only, make_writable, "it is read-only", id="read-only"),
        pytest.param(refuse_writes, take_writes, "too few replicas", id="refuses writes"),
        pytest.param(set_password, forget_password, "does not accept the user", id="password"),
    ],
)
def test_without_redis_each_carries_on_alone_and_joins_again(
    members: Members,
    redis_server: RedisServer,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    break_: Break,
    mend: Break,
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
    mend(redis_server)
    assert members.leader
    assert emulator.wait_for_streams(1)
    before = calls(emulator)
    emulator.set_flag("banner_text", value="with Redis")
    members.wait_for("with Redis")
    assert calls(emulator) == before + 1
    warnings = [line for line in caplog.text.splitlines() if "cannot be used" in line]
    assert [line for line in warnings if words in line], warnings
    # One line for each process and cause; there may be two, as things get worse.
    assert len(warnings) <= 2 * len(members.all), warnings
    assert caplog.text.count("can be used again") == 3


def test_cut_connections_change_nothing(
    members: Members,
    redis_server: RedisServer,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
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
    assert "cannot be used" not in caplog.text


def test_emptied_redis_is_filled_again(
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
    # The lock was lost as well: whoever took it has caught up.
    assert members.leader
    assert calls(emulator) <= before + 1


def test_redis_restarted_empty_keeps_everybody_on_the_newest_flags(
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


def test_redis_gone_at_the_start_is_not_waited_for(
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
    assert caplog.text.count("connection refused") == 2
    redis_server.start()
    assert members.leader
    assert emulator.wait_for_streams(1)


def test_redis_that_never_answers_is_hardly_waited_for(members: Members) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf, ThreadPoolExecutor() as pool:
        watching = pool.submit(patience_with, deaf)
        members.settings["FLAGSMITH_REDIS_URL"] = f"redis://127.0.0.1:{deaf.getsockname()[1]}"
        (member,) = members.start(1)
        with member.app.app_context():
            assert flags["banner_text"]
        # The first time somebody may wait for flags; later nobody does.
        first, later = watching.result(PATIENCE_SECONDS)
        assert first < later / 2
        members.stop(member)


def patience_with(server: socket.socket) -> list[float]:
    """For how long each of two connections to a server stays that says nothing."""
    lived = []
    for _ in range(2):
        connection, _ = server.accept()
        with connection:
            began = time.monotonic()
            while connection.recv(65536):
                pass
            lived.append(time.monotonic() - began)
    return lived


def test_first_flags_hardly_wait_for_those_in_redis(
    members: Members, redis_server: RedisServer, gate: Gate
) -> None:
    members.start(1)
    redis_server.wait_for_flags()
    assert members.leader
    # What it gets says that there are flags, and who leads; but they do not come.
    (cut_off,) = members.start(1, REDIS_URL=gate.url)
    with cut_off.app.app_context():
        assert flags["banner_text"]
    assert cut_off.calls == 1


def test_missed_message_is_made_up_for_by_the_beat(
    members: Members, redis_server: RedisServer, emulator: Emulator
) -> None:
    members.start(2)
    assert members.leader
    members.wait_for_flags()
    # As if it had been written by the leader, but nothing is published.
    environment = redis_server.keys()["environment"]
    stored = json.loads(redis_server.client.hget(environment, "data") or "")
    newer = time.time() + 1
    stored["epoch"] = newer
    redis_server.client.hset(
        environment,
        mapping={"version": "by hand", "epoch": repr(newer), "data": json.dumps(stored)},
    )
    eventually(lambda: all(member.snapshot.epoch == newer for member in members.all))


@pytest.mark.parametrize(
    "damage",
    [{"version": "evil", "data": '{"format": 1}'}, {"version": "evil", "epoch": "9e99"}],
    ids=["data", "epoch"],
)
def test_damaged_flags_in_redis_are_replaced_by_the_leader(
    members: Members,
    redis_server: RedisServer,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    damage: dict[str, str],
) -> None:
    # The others may try for long until they carry on alone.
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
    assert caplog.text.count("is not usable") == 1
    assert "This process leads, and replaces it" in caplog.text
    assert "can be used again" not in caplog.text


def test_damage_that_the_leader_has_not_seen_is_told_to_it(
    members: Members, redis_server: RedisServer, emulator: Emulator
) -> None:
    members.start(1)
    leader = members.leader
    # The version stays: to the leader nothing is new.
    redis_server.client.hset(redis_server.wait_for_flags(), "data", "damaged")
    members.start(1)
    members.wait_for_flags()
    assert members.leader is leader
    emulator.set_flag("banner_text", value="right")
    members.wait_for("right")
    assert emulator.wait_for_streams(1)


def test_new_leader_replaces_damaged_flags_by_those_it_fetches(
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


@pytest.mark.parametrize("what", ["flags", "beats"])
def test_process_that_gets_no_answer_leaves_the_lead_to_one_that_does(
    members: Members, redis_server: RedisServer, emulator: Emulator, gate: Gate, what: str
) -> None:
    if what == "beats":
        # Of all answers these have six parts.
        gate.holds = lambda answer: answer.startswith(b"*6\r\n")
    # Its lock is not to be waited for.
    members.pace = replace(QUICK, expiry_seconds=300.0)
    (first,) = members.start(1)
    redis_server.wait_for_flags()
    members.stop(first)
    # It can take the lock, but it does not get what lies there, or not even to know who leads.
    (cut_off,) = members.start(1, REDIS_URL=gate.url)
    eventually(lambda: cut_off.role == "alone")
    (other,) = members.start(1)
    eventually(lambda: other.role == "leader")
    for number in range(3):
        emulator.set_flag("banner_text", value=f"number {number}")
        members.wait_for(f"number {number}")
    assert (cut_off.role, other.role) == ("alone", "leader")


def test_leader_that_cannot_store_leaves_the_lead(
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
    assert "lacks a permission" in caplog.text
    assert first.banner == "not stored"
    assert emulator.wait_for_streams(2)


def test_leader_that_cannot_reach_flagsmith_leaves_the_lead(
    members: Members, emulator: Emulator
) -> None:
    (cut_off,) = members.start(1, PROXIES={"http": "http://127.0.0.1:9"})
    members.wait_for_role("leader")
    members.start(1)
    members.wait_for_flags()
    assert members.leader is not cut_off
    emulator.set_flag("banner_text", value="also there")
    members.wait_for("also there")


def test_only_member_goes_on_leading_while_flagsmith_is_away(
    members: Members, emulator: Emulator
) -> None:
    emulator.stop()
    (member,) = members.start(1)
    # After so many failures it offers the lead, and nobody takes it.
    eventually(lambda: member.calls >= 4)
    emulator.start()
    members.wait_for_flags()
    assert members.leader is member


def test_handover_between_redis_and_signals_keeps_each_change_told_once(
    members: Members, redis_server: RedisServer, emulator: Emulator
) -> None:
    members.start(2)
    assert members.leader
    members.wait_for_flags()
    changed = [Received(flags_changed, member.app) for member in members.all]
    for number, step in enumerate((redis_server.stop, redis_server.start)):
        step()
        emulator.set_flag("banner_text", value=f"number {number}")
        members.wait_for(f"number {number}")
    assert members.leader
    emulator.set_flag("banner_text", value="last")
    members.wait_for("last")
    for received in changed:
        values = [content["changes"]["banner_text"].after.value for content in received.all]
        assert values == ["number 0", "number 1", "last"]


def test_unused_redis_socket_is_closed_at_the_stop(
    members: Members, redis_server: RedisServer
) -> None:
    members.start(2)
    assert members.leader
    for member in list(members.all):
        members.stop(member)
    eventually(lambda: len(redis_server.client.client_list()) == 1)
    assert set(redis_server.keys()) == {"environment"}


def test_app_under_test_touches_no_redis(emulator: Emulator) -> None:
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
