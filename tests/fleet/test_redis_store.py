"""The store in Redis: the lock, writing and reading flags, messages, damaged data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flask_flagsmith_realtime.config.settings import Config
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.fleet.redis_store import (
    DamagedError,
    RedisStore,
    StoreError,
    fleet_digest,
    new_version,
)
from flask_flagsmith_realtime.model.snapshot import Snapshot
from tests.support.redis_server import RedisServer
from tests.support.snapshots import snapshot_of_document
from tests.support.waiting import PATIENCE_SECONDS, eventually

#: Longer than any test. Where a lock has to expire, its store has a short expiry.
EXPIRY_SECONDS = 10 * PATIENCE_SECONDS
SHORT_SECONDS = 0.2


class Stores:
    """Makes stores. To Redis, each one is a process of its own."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.made: list[RedisStore] = []

    def __call__(self, expiry_seconds: float = EXPIRY_SECONDS) -> RedisStore:
        self.made.append(RedisStore(self.config, expiry_seconds))
        return self.made[-1]


@pytest.fixture
def stores(redis_server: RedisServer) -> Iterator[Stores]:
    stores = Stores(Config(environment_key="ser.key", redis_url=redis_server.url))
    yield stores
    for store in stores.made:
        store.close()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    with Emulator() as emulator:
        return dict(emulator.document)


def snapshot(document: dict[str, Any], epoch: float | None, name: str = "name") -> Snapshot:
    return snapshot_of_document({**document, "name": name}, epoch, 1.5)


def write(store: RedisStore, flags: Snapshot, replaced: float | None = None) -> bool:
    """Write, and return whether Redis took it."""
    version = new_version()
    return store.write(flags, version, replaced) == version


def test_a_process_leads_until_its_lock_expires_or_is_released(stores: Stores) -> None:
    first, second = stores(), stores()
    assert first.beat("live").leads
    assert not second.beat("live").leads
    assert first.beat("live").leads
    assert 0 < second.beat("live").lock_seconds <= EXPIRY_SECONDS
    second.release()
    assert not second.beat("live").leads
    first.release()
    assert second.beat("live").leads
    second.release()
    assert stores(SHORT_SECONDS).beat("live").leads
    eventually(lambda: first.beat("live").leads)


def test_the_leader_reports_its_state(stores: Stores, redis_server: RedisServer) -> None:
    leader, other = stores(), stores()
    assert leader.beat("polling").report == "polling"
    # Only the leader's report counts.
    assert other.beat("live").report == "polling"
    leader.beat("failing")
    assert other.beat("live").report == "failing"
    # It expires where no flags ever come.
    assert redis_server.client.ttl(redis_server.keys()["environment"]) > 0
    assert other.beat("live").version is None


def test_flags_that_are_held_already_are_not_transferred(
    stores: Stores, redis_server: RedisServer, document: dict[str, Any]
) -> None:
    leader, follower = stores(), stores()
    assert leader.beat("live").leads
    leader.write(snapshot(document, 2.0), new_version())
    held = follower.read()
    assert held is not None
    # Another epoch, such as that of a description, comes without the document, too.
    leader.write(snapshot(document, 3.0), new_version())
    environment = redis_server.keys()["environment"]
    redis_server.client.hset(environment, "data", "not read")
    again = follower.read(held.snapshot)
    assert again is not None
    assert again.snapshot.document is held.snapshot.document
    assert again.snapshot.epoch == 3.0
    with pytest.raises(DamagedError):
        follower.read()
    redis_server.client.hset(environment, "epoch", "4.0")
    with pytest.raises(DamagedError, match="its epoch is not that of its data"):
        follower.read(held.snapshot)


def test_flags_that_are_shared_already_are_not_sent(
    stores: Stores, redis_server: RedisServer, document: dict[str, Any]
) -> None:
    def received() -> int:
        return int(redis_server.client.info("stats")["total_net_input_bytes"])

    leader = stores()
    assert leader.beat("live").leads
    flags = snapshot({**document, "padding": 10_000 * "x"}, 2.0)
    assert leader.write(flags, new_version())
    before = received()
    assert leader.write(flags, new_version())
    assert received() - before < 5_000


def test_a_lock_without_an_expiry_gets_one(stores: Stores, redis_server: RedisServer) -> None:
    first, second = stores(), stores(SHORT_SECONDS)
    assert first.beat("live").leads
    redis_server.client.persist(redis_server.keys()["leader"])
    assert not second.beat("live").leads
    eventually(lambda: second.beat("live").leads)


def test_a_lock_with_a_distant_expiry_gets_a_nearer_one(
    stores: Stores, redis_server: RedisServer
) -> None:
    first, second = stores(), stores(SHORT_SECONDS)
    assert first.beat("live").leads
    redis_server.client.expire(redis_server.keys()["leader"], 100_000)
    assert not second.beat("live").leads
    eventually(lambda: second.beat("live").leads)


def test_written_flags_are_read(stores: Stores, document: dict[str, Any]) -> None:
    store = stores()
    assert store.read() is None
    assert write(store, snapshot(document, 2.25))
    stored = stores().read()
    assert stored is not None
    assert stored.snapshot.epoch == 2.25
    assert stored.snapshot.pages == snapshot(document, 2.25).pages
    assert stored.snapshot.fetched_at == 1.5
    assert stored.replaced is None
    assert store.beat("live").version == stored.version


def test_a_newer_epoch_is_never_replaced_by_an_older_one(
    stores: Stores, document: dict[str, Any]
) -> None:
    leader, other = stores(), stores()
    assert leader.beat("live").leads
    assert write(leader, snapshot(document, 2.0))
    assert not write(other, snapshot(document, 1.0))
    assert not write(leader, snapshot(document, 1.0))
    # Any process may store a newer one.
    assert write(other, snapshot(document, 3.0))


def test_of_two_contents_with_one_epoch_the_leaders_is_kept(
    stores: Stores, document: dict[str, Any]
) -> None:
    leader, other = stores(), stores()
    assert leader.beat("live").leads
    assert write(leader, snapshot(document, 2.0, "one"))
    assert not write(other, snapshot(document, 2.0, "two"))
    assert write(leader, snapshot(document, 2.0, "two"))


def test_a_leader_that_was_paused_replaces_nothing(
    stores: Stores, document: dict[str, Any]
) -> None:
    paused, leader = stores(SHORT_SECONDS), stores()
    assert paused.beat("live").leads
    assert write(paused, snapshot(document, 2.0, "one"))
    eventually(lambda: leader.beat("live").leads)
    assert write(leader, snapshot(document, 2.0, "two"))
    # It resumes with the flags that it had fetched before.
    assert not write(paused, snapshot(document, 2.0, "one"))
    assert not write(paused, snapshot(document, 1.0), replaced=2.0)
    stored = paused.read()
    assert stored is not None
    assert stored.snapshot.pages == snapshot(document, 2.0, "two").pages


def test_a_leader_can_replace_flags_by_older_ones(stores: Stores, document: dict[str, Any]) -> None:
    leader, other = stores(), stores()
    assert leader.beat("live").leads
    assert write(leader, snapshot(document, 5.0))
    assert write(leader, snapshot(document, 1.0), replaced=5.0)
    stored = other.read()
    assert stored is not None
    assert stored.replaced == 5.0
    # No process brings back what was replaced, also after the next change.
    assert not write(other, snapshot(document, 5.0))
    assert write(leader, snapshot(document, 2.0))
    assert not write(other, snapshot(document, 5.0))
    stored = other.read()
    assert stored is not None
    assert stored.replaced == 5.0
    assert write(other, snapshot(document, 6.0))
    stored = other.read()
    assert stored is not None
    assert stored.replaced is None


def test_only_the_leader_stores_flags_without_an_epoch(
    stores: Stores, document: dict[str, Any]
) -> None:
    leader, other = stores(), stores()
    assert leader.beat("live").leads
    assert write(leader, snapshot(document, None, "one"))
    assert not write(other, snapshot(document, None, "two"))
    assert write(leader, snapshot(document, None, "two"))


def test_storing_the_same_flags_again_keeps_the_version(
    stores: Stores, document: dict[str, Any]
) -> None:
    store = stores()
    assert store.beat("live").leads
    first = store.write(snapshot(document, 2.0), new_version())
    with store.subscribe() as subscription:
        later = snapshot_of_document({**document, "name": "name"}, 2.0, 99.5)
        assert store.write(later, new_version()) == first
        store.leave_note(None)
        assert subscription.wait(PATIENCE_SECONDS) == "note"
    stored = store.read()
    assert stored is not None
    assert stored.snapshot.fetched_at == 99.5


def test_messages_announce_flags_notes_and_a_free_lock(
    stores: Stores, document: dict[str, Any]
) -> None:
    store = stores()
    with stores().subscribe() as subscription:
        assert store.beat("live").leads
        version = store.write(snapshot(document, 2.0), new_version())
        assert subscription.wait(PATIENCE_SECONDS) == f"stored {version}"
        store.leave_note(None)
        assert subscription.wait(PATIENCE_SECONDS) == "note"
        assert store.beat("live").note
        store.release()
        assert subscription.wait(PATIENCE_SECONDS) == "free"


@pytest.mark.parametrize(
    "changes",
    [
        {"data": b"not JSON"},
        {"data": b"\x80\x04\x95pickle"},
        {"data": b""},
        {"fetched_at": "never"},
        {"replaced": "?"},
    ],
    ids=str,
)
def test_damaged_flags_are_refused(
    stores: Stores,
    redis_server: RedisServer,
    document: dict[str, Any],
    changes: dict[str, Any],
) -> None:
    store = stores()
    assert write(store, snapshot(document, 2.0))
    redis_server.client.hset(redis_server.keys()["environment"], mapping=changes)
    with pytest.raises(DamagedError, match=":environment is not usable"):
        store.read()


def test_only_the_damaged_version_is_discarded(
    stores: Stores, redis_server: RedisServer, document: dict[str, Any]
) -> None:
    store = stores()
    assert write(store, snapshot(document, 2.0))
    redis_server.client.hset(redis_server.keys()["environment"], "data", "damaged")
    with pytest.raises(DamagedError) as caught:
        store.read()
    # Another process stores meanwhile.
    assert write(store, snapshot(document, 3.0))
    store.discard(caught.value.version)
    stored = store.read()
    assert stored is not None
    store.discard(stored.version)
    assert store.read() is None


def test_flags_of_another_key_are_refused(
    stores: Stores, redis_server: RedisServer, document: dict[str, Any]
) -> None:
    store = stores()
    assert write(store, snapshot(document, 2.0))
    there = redis_server.client.hgetall(redis_server.keys()["environment"])
    other = RedisStore(Config(environment_key="ser.other", redis_url=redis_server.url), 15)
    other.beat("live")
    (other_lock,) = redis_server.client.keys("*:leader")
    name = other_lock.replace(":leader", ":environment")
    redis_server.client.hset(name, mapping=there)
    with pytest.raises(StoreError, match="another environment key"):
        other.read()
    other.close()


def test_flags_that_are_too_large_are_not_fetched(
    stores: Stores, redis_server: RedisServer, document: dict[str, Any]
) -> None:
    store = stores()
    assert write(store, snapshot(document, 2.0))
    name = redis_server.keys()["environment"]
    redis_server.client.hset(name, "data", " " * (64 * 1024 * 1024 + 1))
    with pytest.raises(DamagedError, match="larger than 64 MiB"):
        store.read()


def test_keys_have_digests_of_url_and_environment_key() -> None:
    digests = {
        fleet_digest(url, key)
        for url in ("https://one.example/api/v1/", "https://two.example/api/v1/")
        for key in ("ser.one", "ser.two")
    }
    assert len(digests) == 4
    assert all(len(digest) == 64 for digest in digests)


def test_all_keys_are_in_one_slot_of_a_cluster(
    stores: Stores, redis_server: RedisServer, document: dict[str, Any]
) -> None:
    store = stores()
    store.beat("live")
    write(store, snapshot(document, 2.0))
    tags = {key.partition("{")[2].partition("}")[0] for key in redis_server.client.keys("*")}
    assert len(tags) == 1


def test_no_error_has_the_password(redis_server: RedisServer) -> None:
    config = Config(
        environment_key="ser.key", redis_url=f"redis://me:hidden@127.0.0.1:{redis_server.port}/0"
    )
    store = RedisStore(config, 15)
    assert "hidden" not in store.redacted_url
    with pytest.raises(StoreError) as caught:
        store.beat("live")
    assert "does not accept the user name and the password" in str(caught.value)
    assert "hidden" not in str(caught.value) + repr(config)
    store.close()
