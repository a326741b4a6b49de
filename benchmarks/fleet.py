"""The costs of a fleet of 1, 12 and 400 processes, and the time until its last serves a change.

A local Flagsmith and a redis-server, both on loopback; 20 changes, one after the other. The table
has the open streams, the calls to the API, and the time from a change until the last process serves
it. 1 and 12 are processes, with and without Redis. The 400 are 8 processes of 50 engines each,
since so many processes do not fit on a small machine; most of the time they wait for its cores.

Run by hand; needs redis-server::

    python -m benchmarks.fleet
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, snapshot_refreshed
from flask_flagsmith_realtime.emulator import Emulator

from .environment import document

CHANGES = 20
FEATURES = 200
PATIENCE_SECONDS = 120.0
#: Longer than FLAGSMITH_REFRESH_MIN_INTERVAL_SECONDS, which would otherwise be part of the time.
SPACING_SECONDS = 0.4


@dataclass(frozen=True)
class Size:
    """The number of processes, and of engines in each."""

    processes: int
    engines: int = 1

    @property
    def members(self) -> int:
        return self.processes * self.engines


@dataclass(frozen=True)
class Result:
    """The counts and times."""

    streams: int
    calls: int
    seconds: list[float]


def member() -> None:
    """Follow the flags in one process, and print each state with its time."""
    apps = []
    lock = threading.Lock()

    def report(app: Flask, snapshot: Any, **_: Any) -> None:
        # The clock is the machine's: other processes read the same time.
        now = time.monotonic()
        with lock:
            print(json.dumps([snapshot.flags["feature_0"].value, now]), flush=True)

    snapshot_refreshed.connect(report)
    for number in range(int(sys.argv[2])):
        app = Flask(f"member_{number}")
        app.config.from_prefixed_env()
        FlagsmithRealtime(app)
        apps.append(app)
    sys.stdin.read()


class Members:
    """The processes, and the states that they have printed."""

    def __init__(self, size: Size, settings: dict[str, str]) -> None:
        self._arrived = threading.Condition()
        self._served: dict[str, list[float]] = {}
        environment = {**os.environ, **{f"FLASK_{name}": text for name, text in settings.items()}}
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.fleet", "member", str(size.engines)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for _ in range(size.processes)
        ]
        for process in self._processes:
            threading.Thread(target=self._read, args=(process,), daemon=True).start()

    def wait_for(self, value: str, count: int) -> float:
        """Wait until so many serve a value.

        :returns: when the last of them began to.
        """
        with self._arrived:
            there = self._arrived.wait_for(
                lambda: len(self._served.get(value, ())) >= count, PATIENCE_SECONDS
            )
            if not there:
                raise TimeoutError(f"{len(self._served.get(value, ()))} of {count} serve {value}")
            return max(self._served[value])

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            value, moment = json.loads(line)
            with self._arrived:
                self._served.setdefault(value, []).append(moment)
                self._arrived.notify_all()


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """Run a Redis without persistence, and return its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        process = subprocess.Popen(
            [*command, "--appendonly", "no", "--dir", directory], stdout=subprocess.DEVNULL
        )
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait()


def measure(size: Size, redis_url: str | None) -> Result:
    """Start the processes, make the changes, and return the counts and times."""
    with Emulator(document=document(FEATURES), recycle_seconds=3600) as emulator:
        emulator.set_flag("feature_0", value="at the start")
        settings = dict(emulator.config)
        if redis_url is not None:
            settings["FLAGSMITH_REDIS_URL"] = redis_url
        members = Members(size, settings)
        try:
            members.wait_for("at the start", size.members)
            emulator.wait_for_streams(1 if redis_url else size.members, timeout=PATIENCE_SECONDS)
            before, seconds = emulator.calls.total(), []
            for number in range(CHANGES):
                time.sleep(SPACING_SECONDS)
                changed_at = time.monotonic()
                emulator.set_flag("feature_0", value=f"number {number}")
                seconds.append(members.wait_for(f"number {number}", size.members) - changed_at)
            return Result(emulator.streams, emulator.calls.total() - before, seconds)
        finally:
            members.stop()


def main() -> None:
    print(f"{CHANGES} changes of an environment of {FEATURES} features, {os.cpu_count()} cores.\n")
    print("| processes | Redis | streams | API calls | last follows: median | worst |")
    print("| ---: | --- | ---: | ---: | ---: | ---: |")
    alone = {}
    for size in (Size(1), Size(12)):
        result = alone[size.members] = measure(size, None)
        print_row(size, "no", result)
    for size in (Size(1), Size(12), Size(8, 50)):
        with redis_server() as url:
            result = measure(size, url)
        print_row(size, "yes", result)
        without = alone.get(size.members)
        if without is not None and size.members > 1:
            ratio = statistics.median(result.seconds) / statistics.median(without.seconds)
            print(f"|  |  | of {without.streams} | of {without.calls} | {ratio:.2f} times | |")


def print_row(size: Size, redis: str, result: Result) -> None:
    milliseconds = [1000 * seconds for seconds in result.seconds]
    print(
        f"| {size.members} | {redis} | {result.streams} | {result.calls} | "
        f"{statistics.median(milliseconds):.1f} ms | {max(milliseconds):.1f} ms |",
        flush=True,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["member"]:
        member()
    else:
        main()
