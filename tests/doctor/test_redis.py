"""The doctor's checks of Redis."""

from __future__ import annotations

import re

import pytest

from flask_flagsmith_realtime.doctor import redis_check
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.fleet import redis_client, redis_store
from tests.support.doctor import app_with, find
from tests.support.paths import DOCS
from tests.support.redis_server import RedisServer
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def _patient_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis may answer late."""
    monkeypatch.setattr(redis_client.open_client, "__defaults__", (PATIENCE_SECONDS,))
    monkeypatch.setattr(redis_store, "_CONFIRMATION_SECONDS", PATIENCE_SECONDS)
    for name in ("_LOCK_SECONDS", "_MESSAGE_SECONDS"):
        monkeypatch.setattr(redis_check, name, PATIENCE_SECONDS)


def test_redis_has_to_run_all_operations_of_a_fleet(
    emulator: Emulator, redis_server: RedisServer
) -> None:
    app = app_with(emulator.config, REDIS_URL=redis_server.url)
    found = find(app, "Redis")
    assert found["level"] == "ok"
    assert f"127.0.0.1:{redis_server.port}" in found["message"]
    assert redis_server.client.keys() == []
    redis_server.stop()
    found = find(app, "Redis")
    assert found["level"] == "failed"
    assert found["message"].endswith("cannot be used: connection refused")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("CONFIG SET maxmemory 1", "it is full: it has reached its maxmemory"),
        ("REPLICAOF 127.0.0.1 9", "it is read-only: a replica"),
        ("CONFIG SET requirepass sesame", "it does not accept the user name and the password"),
        ("ACL SETUSER default -hset", "its user lacks a permission; the keys"),
        ("ACL SETUSER default -hstrlen", "its user lacks a permission; the keys"),
        ("ACL SETUSER default -del", "its user lacks a permission; the keys"),
        ("ACL SETUSER default -eval -evalsha", "its user lacks a permission; the keys"),
        ("ACL SETUSER default resetchannels", "its user lacks a permission; the keys"),
        ("ACL SETUSER default resetkeys ~shop:*", "its user lacks a permission; the keys"),
    ],
)
def test_a_redis_that_answers_but_cannot_be_used_fails(
    emulator: Emulator, redis_server: RedisServer, command: str, words: str
) -> None:
    redis_server.client.execute_command(command)
    found = find(app_with(emulator.config, REDIS_URL=redis_server.url), "Redis")
    assert found["level"] == "failed"
    assert f"cannot be used: {words}" in found["message"]
    assert "Until then each process has a stream of its own" in found["advice"]


def test_the_rights_of_the_documentation_are_enough(
    emulator: Emulator, redis_server: RedisServer
) -> None:
    page = DOCS / "fleet.rst"
    rights = re.search(r"ACL SETUSER flags on >a-long-password (.*?)\n\n", page.read_text(), re.S)
    assert rights is not None
    words = rights[1].replace("\\", " ").split()
    redis_server.client.execute_command("ACL", "SETUSER", "flags", "on", ">a-password", *words)
    url = f"redis://flags:a-password@127.0.0.1:{redis_server.port}/0"
    found = find(app_with(emulator.config, REDIS_URL=url), "Redis")
    assert found["level"] == "ok", found["message"]
    assert redis_server.client.keys() == []
    assert "a-password" not in found["message"]
