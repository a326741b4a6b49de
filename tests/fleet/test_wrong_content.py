"""A Redis with content that no process of the fleet has written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flask_flagsmith_realtime.client import API
from flask_flagsmith_realtime.config import read_config
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.fleet.redis_store import RedisStore, new_version
from flask_flagsmith_realtime.model import Snapshot
from flask_flagsmith_realtime.storage import SnapshotFile
from tests.support.fleets import QUICK, Members, calls
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.misbehaving.answers import ANOTHER_ENVIRONMENT
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

TYPES = {"environment": "hash", "leader": "string"}


@pytest.fixture
def misbehaving_members(
    redis_server: RedisServer, flagsmith: MisbehavingFlagsmith
) -> Iterator[Members]:
    made = Members(
        {
            **flagsmith.config,
            "FLAGSMITH_REDIS_URL": redis_server.url,
            # Its streams are silent.
            "FLAGSMITH_STREAM_TIMEOUT_SECONDS": 3600,
        }
    )
    yield made
    for member in made.all:
        member.stop()


@pytest.mark.parametrize("part", TYPES)
@pytest.mark.parametrize("before_the_start", [False, True])
def test_a_key_of_another_type_is_replaced(
    members: Members,
    redis_server: RedisServer,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    part: str,
    before_the_start: bool,
) -> None:
    # The members wait long before they continue alone.
    members.pace = replace(QUICK, patience_seconds=300.0)
    started = members.start(3)
    assert members.leader
    redis_server.wait_for_flags()
    name = redis_server.keys()[part]
    if before_the_start:
        for member in started:
            members.stop(member)
    # In one step: a heartbeat in between would make a key of the right type.
    with redis_server.client.pipeline() as pipeline:
        pipeline.delete(name).rpush(name, "a list").execute()
    if before_the_start:
        members.start(3)
    eventually(lambda: redis_server.client.type(name) == TYPES[part])
    assert members.leader
    emulator.set_flag("banner_text", value="right")
    members.wait_for("right")
    assert emulator.wait_for_streams(1)
    line = f"{name} was not what a fleet keeps there. It is replaced."
    eventually(lambda: line in caplog.text)
    assert "cannot be used" not in caplog.text


@pytest.mark.parametrize("version", [None, "evil"], ids=["the-same-version", "another-version"])
def test_a_wrong_epoch_beside_a_right_document_is_replaced(
    members: Members,
    redis_server: RedisServer,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    version: str | None,
) -> None:
    members.pace = replace(QUICK, patience_seconds=300.0)
    members.start(3)
    assert emulator.wait_for_streams(1)
    assert members.leader
    members.wait_for_flags()
    environment = redis_server.wait_for_flags()
    before = calls(emulator)
    redis_server.client.hset(environment, "epoch", repr(answers.FUTURE.timestamp()))
    if version is not None:
        redis_server.client.hset(environment, "version", version)
    emulator.set_flag("banner_text", value="right")
    members.wait_for("right")
    assert calls(emulator) == before + 1
    assert emulator.streams_opened == 1
    assert caplog.text.count("its epoch is not that of its data") == 1


@pytest.fixture
def stranger(
    misbehaving_members: Members, flagsmith: MisbehavingFlagsmith
) -> Iterator[tuple[RedisStore, Snapshot]]:
    """The access to Redis and the flags of a process that got its first answer from a cache which
    ignores the key.
    """
    config = read_config(misbehaving_members.settings)
    flagsmith.environment_document.next(answers.of_another_environment)
    api, store = API(config), RedisStore(config, QUICK.expiry_seconds)
    yield store, replace(api.fetch(), epoch=flagsmith.truth.version.epoch + 1)
    api.close()
    store.close()


def test_the_leader_replaces_flags_of_another_environment(
    misbehaving_members: Members,
    redis_server: RedisServer,
    flagsmith: MisbehavingFlagsmith,
    stranger: tuple[RedisStore, Snapshot],
    caplog: pytest.LogCaptureFixture,
) -> None:
    members = misbehaving_members
    members.start(3)
    assert members.leader
    members.wait_for_flags()
    environment = redis_server.wait_for_flags()
    store, flags = stranger
    version = new_version()
    store.write(flags, version)
    eventually(lambda: redis_server.client.hget(environment, "version") not in (version, None))
    assert members.leader
    assert ANOTHER_ENVIRONMENT not in {member.banner for member in members.all}
    assert caplog.text.count("of another environment. This process leads, and replaces it.") == 1
    flagsmith.change("banner_text", value="right")
    members.wait_for("right")
    assert flagsmith.stream.count == 1


def test_followers_of_a_leader_with_another_environment_continue_alone(
    misbehaving_members: Members,
    redis_server: RedisServer,
    flagsmith: MisbehavingFlagsmith,
    stranger: tuple[RedisStore, Snapshot],
    caplog: pytest.LogCaptureFixture,
) -> None:
    members = misbehaving_members
    members.start(2)
    assert members.leader
    members.wait_for_flags()
    redis_server.wait_for_flags()
    store, flags = stranger
    # In one step: a heartbeat in between would give a free lock to its process.
    redis_server.client.set(redis_server.keys()["leader"], store._token)
    # Its lock lasts only as long as it beats.
    eventually(lambda: store.beat("live").leads and len(members.of_role("follower")) == 2)
    store.write(flags, new_version())
    eventually(lambda: store.beat("live").leads and len(members.of_role("alone")) == 2)
    assert ANOTHER_ENVIRONMENT not in {member.banner for member in members.all}
    assert caplog.text.count("is of another environment. This process listens and fetches for") == 2
    flagsmith.change("banner_text", value="right")
    members.wait_for("right")


def test_a_new_process_with_another_environment_leads_no_fleet(
    misbehaving_members: Members,
    redis_server: RedisServer,
    flagsmith: MisbehavingFlagsmith,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    members = misbehaving_members
    (first,) = members.start(1)
    environment = redis_server.wait_for_flags()
    version = redis_server.client.hget(environment, "version")
    members.stop(first)
    flagsmith.truth.edit(lambda document: document.update(api_key="AnotherClientSideKey"))
    config = read_config(members.settings)
    api = API(config)
    SnapshotFile(str(tmp_path / "flags"), str(config.environment_key)).write(api.fetch())
    api.close()
    (second,) = members.start(1, SNAPSHOT_FILE=str(tmp_path / "flags"))
    members.wait_for_role("alone")
    assert "the flags in it are of another environment" in caplog.text
    assert redis_server.client.hget(environment, "version") == version
    members.wait_for_flags()
    assert second.snapshot.environment_id == "AnotherClientSideKey"


def test_the_environment_is_that_of_the_flags_in_redis(
    misbehaving_members: Members,
    redis_server: RedisServer,
    flagsmith: MisbehavingFlagsmith,
    caplog: pytest.LogCaptureFixture,
) -> None:
    members = misbehaving_members
    (first,) = members.start(1)
    redis_server.wait_for_flags()
    stored = first.banner
    members.stop(first)
    # A member whose Redis is slow fetches before it knows the flags in Redis.
    flagsmith.environment_document.always(answers.status(500))
    members.start(2)
    members.wait_for(str(stored))
    flagsmith.environment_document.always(answers.of_another_environment)
    eventually(lambda: "of another environment than before" in caplog.text)
    members.wait_for(str(stored))
    flagsmith.environment_document.always(answers.truth)
    flagsmith.change("banner_text", value="right")
    members.wait_for("right")
