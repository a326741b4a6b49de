"""Several gunicorns as one fleet: the costs at Flagsmith, and the end of the leader."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.fleets import calls
from tests.support.redis_server import RedisServer
from tests.support.servers import Served, environment_of, gunicorn
from tests.support.waiting import PATIENCE_SECONDS, eventually

#: No member fetches because its first role takes long.
PATIENT = {"first_role_seconds": PATIENCE_SECONDS}
QUICK = {**PATIENT, "beat_seconds": 0.5, "expiry_seconds": 3.0, "patience_seconds": 2.0}


class Journal:
    """The file into which the workers write their changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dead: set[int] = set()

    def lines(self) -> list[dict[str, Any]]:
        text = self.path.read_text() if self.path.exists() else ""
        # The last line may be half written.
        *lines, _ = text.split("\n")
        return [json.loads(line) for line in lines]

    def banners(self) -> dict[int, object]:
        """Return the banner of each worker by its process id."""
        return {
            line["pid"]: line["banner"]
            for line in self.lines()
            if line["what"] == "serves" and line["pid"] not in self.dead
        }

    def wait_for(self, workers: int, banner: str) -> None:
        """Wait until so many workers, and no fewer, serve a banner."""
        eventually(
            lambda: list(self.banners().values()) == [banner] * workers,
            lambda: str(self.banners()),
        )

    def wait_for_changes(self, workers: int, banner: str) -> None:
        """Wait until so many workers have received the signal of a change. The next one cannot be
        merged with it.
        """
        changed: list[Any] = []

        def all_have_written() -> bool:
            changed[:] = [
                line["pid"]
                for line in self.lines()
                if line["what"] == "changed" and line["banner"] == banner
            ]
            return len(changed) == workers

        eventually(all_have_written, lambda: f"{banner}: {changed}")

    def wait_for_leader(self, other_than: int | None = None) -> int:
        """Wait for the entry of the process that has fetched the newest change."""
        leaders: list[int] = []

        def has_written() -> bool:
            changes = [line for line in self.lines() if line["what"] == "changed"]
            leaders[:] = [line["pid"] for line in changes if line["leader"]]
            return bool(leaders) and leaders[-1] != other_than

        eventually(has_written, lambda: f"{leaders}")
        return leaders[-1]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


Serve = Callable[..., Served]


@pytest.fixture
def serve(redis_server: RedisServer, emulator: Emulator, journal: Journal) -> Iterator[Serve]:
    """Starts gunicorns of one fleet."""
    served: list[Served] = []

    def start(*options: str, pace: dict[str, float] | None = None, **settings: Any) -> Served:
        more = {f"FLAGSMITH_{name}": value for name, value in settings.items()}
        environment = environment_of(
            {**emulator.config, "FLAGSMITH_REDIS_URL": redis_server.url, **more}
        )
        environment["MEMBER_JOURNAL"] = str(journal.path)
        environment["MEMBER_PACE"] = json.dumps(pace or PATIENT)
        command = gunicorn(*options, app="tests.fleet.member:create_app()")
        served.append(Served(command, environment))
        return served[-1]

    yield start
    for server in served:
        server.kill()


def test_twelve_workers_cost_one_stream_and_one_call_a_change(
    serve: Serve, emulator: Emulator, journal: Journal
) -> None:
    emulator.set_flag("banner_text", value="at the start")
    servers = [serve("--workers", "6") for _ in range(2)]
    journal.wait_for(12, "at the start")
    assert emulator.wait_for_streams(1)
    assert calls(emulator) == 1
    for number in range(20):
        emulator.set_flag("banner_text", value=f"number {number}")
        journal.wait_for_changes(12, f"number {number}")
    assert calls(emulator) <= 22
    assert emulator.streams == 1
    assert emulator.streams_opened == 1
    changed = [line for line in journal.lines() if line["what"] == "changed"]
    assert len(changed) == 12 * 20
    assert len([line for line in changed if line["leader"]]) == 20
    for server in servers:
        assert server.stop() == 0
        assert "Traceback" not in server.output
    assert emulator.wait_for_streams(0)


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_workers_of_each_class_share_one_stream(
    serve: Serve,
    redis_server: RedisServer,
    emulator: Emulator,
    journal: Journal,
    worker: str,
) -> None:
    emulator.set_flag("banner_text", value="before")
    server = serve("--workers", "2", "--worker-class", worker, "--threads", "2", "--preload")
    members = 2
    eventually(lambda: redis_server.subscribers() >= members, lambda: server.output)
    assert emulator.wait_for_streams(1)
    before = calls(emulator)
    emulator.set_flag("banner_text", value="after")
    eventually(
        lambda: list(journal.banners().values()).count("after") >= members,
        lambda: f"{journal.banners()} {server.output}",
    )
    assert emulator.streams == 1
    assert calls(emulator) == before + 1
    assert server.stop() == 0
    assert "Traceback" not in server.output, server.output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "paused"])
def test_another_worker_leads_when_the_leader_is(
    serve: Serve, emulator: Emulator, journal: Journal, number: signal.Signals
) -> None:
    emulator.set_flag("banner_text", value="at the start")
    # Gunicorn would end a worker that is paused for half a minute.
    server = serve("--workers", "3", "--timeout", "300", pace=QUICK)
    journal.wait_for(3, "at the start")
    assert emulator.wait_for_streams(1)
    emulator.set_flag("banner_text", value="under the first")
    journal.wait_for(3, "under the first")
    leader = journal.wait_for_leader()
    os.kill(leader, number)
    journal.dead.add(leader)
    emulator.set_flag("banner_text", value="meanwhile")
    # Gunicorn replaces a worker that was killed.
    others = 3 if number is signal.SIGKILL else 2
    journal.wait_for(others, "meanwhile")
    journal.wait_for_leader(other_than=leader)
    if number is signal.SIGSTOP:
        emulator.set_flag("banner_text", value="under the second")
        journal.wait_for(2, "under the second")
        os.kill(leader, signal.SIGCONT)
        journal.dead.clear()
        # It resumes as the leader that it no longer is, and takes the flags of the others.
        journal.wait_for(3, "under the second")
        emulator.set_flag("banner_text", value="together")
        journal.wait_for(3, "together")
        assert emulator.wait_for_streams(1)
    assert "Traceback" not in server.output, server.output


def test_a_webhook_at_one_worker_reaches_all(
    serve: Serve, emulator: Emulator, journal: Journal
) -> None:
    emulator.set_flag("banner_text", value="at the start")
    server = serve(
        "--workers",
        "3",
        ENABLE_REALTIME_UPDATES="false",
        ENVIRONMENT_REFRESH_INTERVAL_SECONDS=3600,
        WEBHOOK_SECRET="secret",
    )
    journal.wait_for(3, "at the start")
    before = calls(emulator)
    for number in range(4):
        emulator.set_flag("banner_text", value=f"number {number}")
        body = json.dumps({"event_type": "FLAG_UPDATED", "data": {}}).encode()
        signature = hmac.new(b"secret", body, hashlib.sha256).hexdigest()
        answer = requests.post(
            f"{server.url}/flagsmith/webhook",
            data=body,
            headers={"X-Flagsmith-Signature": signature},
            timeout=PATIENCE_SECONDS,
        )
        assert answer.status_code == 200
        journal.wait_for(3, f"number {number}")
    assert calls(emulator) == before + 4
    assert emulator.streams_opened == 0
