"""A real Redis on loopback, and apps that share flags through it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask
from programs import find_program

from flask_flagsmith_realtime import FlagsmithRealtime
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.engine.mailbox import RefreshHint
from flask_flagsmith_realtime.fleet.election import FleetTimings

PATIENCE_SECONDS = 60.0

#: As the real one, but quicker.
QUICK = FleetTimings(
    beat_seconds=0.3,
    expiry_seconds=1.5,
    patience_seconds=1.0,
    longest_retry_seconds=0.5,
    unfit_seconds=60.0,
)


class RedisServer:
    """A redis-server process that keeps nothing.

    :param directory: where it may work.
    :param options: more of its settings, as on its command line.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        self._directory = directory
        self._options = options
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(port=self.port, decode_responses=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> RedisServer:
        command = [find_program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._directory)]
        self._process = subprocess.Popen(
            [*command, *self._options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers)
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def keys(self) -> dict[str, str]:
        """The fleet's keys by the last part of their names."""
        return {key.rpartition(":")[2]: key for key in self.client.keys("*")}

    def wait_for_flags(self) -> str:
        """Wait until flags lie here.

        :returns: the name of their key.
        """
        wait_until(lambda: "environment" in self.keys())
        name = self.keys()["environment"]
        wait_until(lambda: self.client.hget(name, "version") is not None)
        return name

    def subscribers(self) -> int:
        """How many processes listen to messages."""
        return sum(client["sub"] == "1" for client in self.client.client_list())

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.client.ping())
        return False


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path).start()
    yield server
    server.client.close()
    server.stop()


class Member:
    """One process of a fleet, as far as a test can tell: an app with an engine of its own."""

    def __init__(self, name: str, settings: dict[str, Any], pace: FleetTimings) -> None:
        self.app = Flask(name)
        self.app.config.update(settings)
        self.flagsmith = FlagsmithRealtime()
        self.flagsmith._pace = pace
        self.flagsmith.init_app(self.app)
        self._state = self.app.extensions["flagsmith_realtime"]

    @property
    def snapshot(self) -> Any:
        return self._state.realtime._holder.snapshot

    @property
    def banner(self) -> object:
        flag = self.snapshot and self.snapshot.flags.get("banner_text")
        return flag and flag.value

    @property
    def role(self) -> str | None:
        role = self._state.realtime._run.refresher.role
        return None if role is None else str(role.value)

    @property
    def calls(self) -> int:
        """How often it has asked the API."""
        return int(self.flagsmith.status.calls)

    def tell(self) -> None:
        """Do what a signed call of the webhook does."""
        self._state.realtime.tell(RefreshHint(None))

    def stop(self) -> None:
        self.flagsmith.stop(self.app)


class Members:
    """The members of a fleet."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.pace = QUICK
        self.all: list[Member] = []

    def start(self, count: int, **settings: Any) -> list[Member]:
        more = {f"FLAGSMITH_{name}": value for name, value in settings.items()}
        started = [
            Member(f"member_{len(self.all) + number}", {**self.settings, **more}, self.pace)
            for number in range(count)
        ]
        self.all += started
        return started

    def stop(self, member: Member) -> None:
        self.all.remove(member)
        member.stop()

    def of_role(self, role: str) -> list[Member]:
        return [member for member in self.all if member.role == role]

    @property
    def leader(self) -> Member:
        """The one that leads; waits until there is one and all others follow."""
        wait_until(
            lambda: (
                len(self.of_role("leader")) == 1
                and len(self.of_role("follower")) == len(self.all) - 1
            )
        )
        return self.of_role("leader")[0]

    def wait_for(self, banner: str) -> None:
        """Wait until all serve a banner."""
        wait_until(lambda: all(member.banner == banner for member in self.all), self.describe)

    def wait_for_flags(self) -> None:
        """Wait until all serve something."""
        wait_until(lambda: all(member.snapshot for member in self.all), self.describe)

    def wait_for_role(self, role: str) -> None:
        """Wait until all have a role."""
        wait_until(lambda: len(self.of_role(role)) == len(self.all), self.describe)

    def wait_for_state(self, state: str) -> None:
        """Wait until the status of all has a state."""
        wait_until(
            lambda: all(member.flagsmith.status.state == state for member in self.all),
            lambda: str([member.flagsmith.status for member in self.all]),
        )

    def describe(self) -> str:
        return str([(member.app.name, member.role, member.banner) for member in self.all])


class Gate:
    """Stands before a Redis and lets everything pass but large answers, or what is chosen.

    :param port: that of the Redis.
    """

    def __init__(self, port: int) -> None:
        self._behind = port
        self.holds: Callable[[bytes], bool] = lambda answer: len(answer) > 1024
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def close(self) -> None:
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._behind))
                self._sockets += [client, server]
                self._start(self._pass, client, server, False)
                self._start(self._pass, server, client, True)

    def _pass(self, source: socket.socket, target: socket.socket, checks: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if checks and self.holds(data):
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def gate(redis_server: RedisServer) -> Iterator[Gate]:
    made = Gate(redis_server.port)
    yield made
    made.close()


@pytest.fixture
def members(redis_server: RedisServer, emulator: Emulator) -> Iterator[Members]:
    made = Members({**emulator.config, "FLAGSMITH_REDIS_URL": redis_server.url})
    yield made
    for member in made.all:
        member.stop()


def wait_until(condition: Callable[[], bool], describe: Callable[[], str] = str) -> None:
    """Wait for what no event tells of."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(describe())
        time.sleep(0.01)


def calls(emulator: Emulator) -> int:
    """How often the environment was asked for."""
    return emulator.calls["environment-document/"] + emulator.calls["flags/"]
