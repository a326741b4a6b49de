"""The contract of all sources: one snapshot after another, through one publisher."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_flagsmith_realtime.config import Config, read_config
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.engine import FileSource, FlagsmithSource, RefreshHint, Source
from flask_flagsmith_realtime.engine.dispatcher import Dispatcher
from flask_flagsmith_realtime.engine.publisher import Publisher
from flask_flagsmith_realtime.engine.store import SnapshotStore
from flask_flagsmith_realtime.fleet import FleetMember, RedisSource, RedisStore, SharedFlags
from flask_flagsmith_realtime.monitoring import Activity
from flask_flagsmith_realtime.storage import read_offline_file
from tests.support.fleets import QUICK
from tests.support.redis_server import RedisServer
from tests.support.waiting import PATIENCE_SECONDS, eventually


class Bench:
    """A source with all that it needs, outside an engine."""

    def __init__(self, make: Callable[[Config, Activity], Source], config: Config) -> None:
        self.activity = Activity()
        self.store = SnapshotStore()
        self.store.expect()
        self.source = make(config, self.activity)
        self.app = Flask("bench")
        self.publisher = Publisher(self.store, Dispatcher(self.app, self.activity))

    @property
    def banner(self) -> object:
        snapshot = self.store.snapshot
        return snapshot and snapshot.flags["banner_text"].value

    def close(self) -> None:
        self.source.stop()
        self.source.join()


MakeBench = Callable[[str], Bench]


@pytest.fixture
def make_bench(
    emulator: Emulator, redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeBench]:
    """Makes a source of each kind. They all follow the emulator, a file's source from a copy."""
    monkeypatch.setattr(FleetMember, "timings", QUICK)
    benches: list[Bench] = []
    config = read_config({**emulator.config, "FLAGSMITH_REDIS_URL": redis_server.url})

    def redis_source(config: Config, activity: Activity) -> Source:
        # A follower needs a leader, which puts flags into Redis.
        leader = Bench(FleetMember, config)
        benches.append(leader)
        leader.source.start(leader.publisher)
        redis_server.wait_for_flags()
        store = RedisStore(config, QUICK.expiry_seconds)
        return RedisSource(store, SharedFlags(store, activity), 0.25)

    def file_source(_config: Config, _activity: Activity) -> Source:
        path = tmp_path / "environment.json"
        path.write_text(json.dumps(emulator.document))
        return FileSource(read_offline_file(str(path)))

    makers: dict[str, Callable[[Config, Activity], Source]] = {
        "flagsmith": FlagsmithSource,
        "fleet": FleetMember,
        "redis": redis_source,
        "file": file_source,
    }

    def make(kind: str) -> Bench:
        bench = Bench(makers[kind], config)
        benches.append(bench)
        return bench

    yield make
    for bench in reversed(benches):
        bench.close()


ALL = pytest.mark.parametrize("kind", ["flagsmith", "fleet", "redis", "file"])


@ALL
def test_the_first_snapshot_is_published(make_bench: MakeBench, kind: str) -> None:
    bench = make_bench(kind)
    assert bench.source.start(bench.publisher)
    assert bench.store.wait(PATIENCE_SECONDS) is not None
    assert bench.banner


@ALL
def test_a_stop_ends_the_threads_and_publishes_nothing_more(
    make_bench: MakeBench, emulator: Emulator, kind: str
) -> None:
    bench = make_bench(kind)
    bench.source.start(bench.publisher)
    bench.store.wait(PATIENCE_SECONDS)
    bench.source.stop()
    before = bench.store.snapshot
    bench.source.join()
    eventually(lambda: not bench.source.is_alive)
    emulator.set_flag("banner_text", value="after the stop")
    bench.source.refresh(RefreshHint())
    assert bench.store.snapshot is before


@ALL
def test_a_closed_publisher_publishes_nothing(make_bench: MakeBench, kind: str) -> None:
    bench = make_bench(kind)
    bench.publisher.close()
    bench.source.start(bench.publisher)
    bench.source.stop()
    bench.source.join()
    assert bench.store.snapshot is None


@ALL
def test_a_hint_is_no_error_before_the_start(make_bench: MakeBench, kind: str) -> None:
    bench = make_bench(kind)
    bench.source.refresh(RefreshHint())
    assert bench.source.start(bench.publisher)
    assert bench.store.wait(PATIENCE_SECONDS) is not None


@pytest.mark.parametrize("kind", ["flagsmith", "fleet"])
def test_changes_are_published(make_bench: MakeBench, emulator: Emulator, kind: str) -> None:
    bench = make_bench(kind)
    bench.source.start(bench.publisher)
    bench.store.wait(PATIENCE_SECONDS)
    assert emulator.wait_for_streams(1)
    emulator.set_flag("banner_text", value="new")
    eventually(lambda: bench.banner == "new")


def test_a_follower_publishes_announced_changes(
    make_bench: MakeBench, emulator: Emulator, redis_server: RedisServer
) -> None:
    bench = make_bench("redis")
    bench.source.start(bench.publisher)
    bench.store.wait(PATIENCE_SECONDS)
    assert emulator.wait_for_streams(1)
    emulator.set_flag("banner_text", value="new")
    environment = redis_server.wait_for_flags()

    def looks() -> bool:
        source: Any = bench.source
        source.look()
        return bench.banner == "new"

    assert redis_server.client.hget(environment, "version")
    eventually(looks)


@pytest.mark.parametrize("kind", ["flagsmith", "fleet", "redis"])
def test_a_hint_that_was_not_served_is_returned_by_the_stop(
    make_bench: MakeBench, kind: str
) -> None:
    bench = make_bench(kind)
    bench.source.refresh(RefreshHint(5.0))
    bench.source.refresh(RefreshHint(3.0))
    assert bench.source.stop() == RefreshHint(5.0)


def test_a_hint_that_was_taken_and_not_served_is_returned_too(
    make_bench: MakeBench, emulator: Emulator
) -> None:
    bench = make_bench("flagsmith")
    bench.source.start(bench.publisher)
    bench.store.wait(PATIENCE_SECONDS)
    future = RefreshHint(time.time() + 3600)
    before = emulator.calls["environment-document/"]
    bench.source.refresh(future)
    eventually(lambda: emulator.calls["environment-document/"] > before)
    assert bench.source.stop() == future


def test_sources_are_named_daemons(make_bench: MakeBench) -> None:
    bench = make_bench("redis")
    bench.source.start(bench.publisher)
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("flagsmith-")]
    assert "flagsmith-follower" in {thread.name for thread in ours}
    assert all(thread.daemon for thread in ours)


def test_the_successor_of_a_closed_publisher_is_closed(make_bench: MakeBench) -> None:
    bench = make_bench("file")
    bench.publisher.close()
    successor = bench.publisher.successor()
    bench.source.start(successor)
    assert bench.store.snapshot is None
