"""The cost of a change in environments of any size: here, in the official SDK, and at the least.

One server process prepares the documents; each client follows it in a process of its own. Measured
are the seconds from the event to the new value, the longest moment in which another thread of the
process could not run, the memory that the client adds, and the seconds that an answer costs which
brings nothing new. The least is a GET and ``json.loads`` of the same document. Of a fleet of four
followers the slowest and the largest count; the last two columns are the bytes that each of them
read from Redis for a change, and for nothing new, in documents. A line at the end compares imports.

Needs redis-server, and a machine that does nothing else::

    python -m benchmarks.scale --changes 9
    python -m benchmarks.scale --growth
    python -m benchmarks.scale --size 1000x100x20000
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import requests
from redis import Redis

from . import scale_server
from .fleet import redis_server
from .large_environment import LargeEnvironment, Size
from .scale_subjects import SUBJECTS

SIZES = (
    Size(200, 20, 0),
    Size(1_000, 500, 2_000),
    Size(5_000, 500, 0),
    Size(1_000, 100, 20_000),
)
BASE = Size(1_000, 100, 0)
GROWTH = (
    BASE,
    BASE._replace(features=10_000),
    BASE._replace(segments=1_000),
    BASE._replace(overrides=10_000),
    BASE._replace(overrides=20_000),
)
FOLLOWERS = 4
IMPORTS = ("import flask, flagsmith", "import flask_flagsmith_realtime")
_IMPORT_RUNS = 20
_PAUSE_SECONDS = 0.7
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Result:
    """The medians of one client, in seconds, MiB and documents read from Redis."""

    visible: float
    stall: float
    memory: float
    nothing_new: float
    read: float
    read_for_nothing: float


class Client:
    """A client in a process of its own."""

    def __init__(self, subject: str, *urls: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.scale_subjects", subject, *urls],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._next_report()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def cost_of(self, announced: dict[str, Any]) -> tuple[float, float, float]:
        """Wait for a change, or nothing new, and return what it cost: seconds, stall and memory."""
        report = self._next_report()
        while report["value"] != announced["value"]:
            report = self._next_report()
        begin = announced["announced_at"]
        stalls = [seconds for end, seconds in report["pauses"] if end > begin]
        return report["visible_at"] - begin, max(stalls, default=0.0), report["memory"]

    def _next_report(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the client has ended")
        report: dict[str, Any] = json.loads(line)
        return report


def measure(
    url: str, clients: Sequence[Client], changes: int, read: Callable[[], float] = lambda: math.nan
) -> Result:
    """Announce changes, then nothing new.

    :param read: returns how many documents were read from Redis until now.
    """

    def cost(kind: str) -> tuple[float, float, float]:
        time.sleep(_PAUSE_SECONDS)
        announced = requests.post(f"{url}{kind}", timeout=_PATIENCE_SECONDS).json()
        costs = [client.cost_of(announced) for client in clients]
        visible, stall, memory = (max(column) for column in zip(*costs, strict=True))
        return visible, stall, memory

    before = read()
    costs = [cost("change") for _ in range(changes)]
    between = read()
    nothing = [cost("nothing")[0] for _ in range(changes)]
    visible, stall, memory = (list(column) for column in zip(*costs, strict=True))
    return Result(
        statistics.median(visible),
        statistics.median(stall),
        memory[-1] / 2**20,
        statistics.median(nothing),
        (between - before) / changes,
        (read() - between) / changes,
    )


def measure_fleet(url: str, changes: int, document_bytes: int) -> Result:
    """Measure the followers of a fleet."""
    with contextlib.ExitStack() as stack:
        redis_url = stack.enter_context(redis_server())
        redis = stack.enter_context(Redis.from_url(redis_url))

        def read() -> float:
            sent: int = redis.info("stats")["total_net_output_bytes"]  # type: ignore[index]
            return sent / document_bytes / FOLLOWERS

        # The first one leads.
        _, *followers = [
            stack.enter_context(Client("this project", url, redis_url))
            for _ in range(1 + FOLLOWERS)
        ]
        return measure(url, followers, changes, read)


def results_of(size: Size, changes: int, with_fleet: bool) -> dict[str, Result]:
    process, url = scale_server.start(size)
    results = {}
    try:
        for subject in SUBJECTS:
            with Client(subject, url) as client:
                results[subject] = measure(url, [client], changes)
        if with_fleet:
            results["a follower of four"] = measure_fleet(url, changes, document_bytes(size))
        return results
    finally:
        process.kill()
        process.join()


def document_bytes(size: Size) -> int:
    return len(LargeEnvironment(size).write("", 0))


def rows_of(size: Size, results: dict[str, Result]) -> Iterator[list[str]]:
    title = f"{size} ({document_bytes(size) / 2**20:.2f} MiB)"
    least = results["bare"]
    for subject, result in results.items():
        yield [
            title,
            subject,
            f"{result.visible:.4f}",
            f"{result.stall:.4f}",
            "" if subject == "bare" else f"{result.memory:.0f}",
            f"{result.nothing_new:.4f}",
            f"{result.visible / least.visible:.2f}",
            f"{result.stall / least.stall:.2f}",
            f"{result.nothing_new / least.visible:.2f}",
            "" if math.isnan(result.read) else f"{result.read:.3f}",
            "" if math.isnan(result.read) else f"{result.read_for_nothing:.3f}",
        ]
        title = ""


HEADS = [
    "features x segments x overrides",
    "client",
    "visible",
    "stall",
    "MiB",
    "nothing new",
    "visible ÷ bare",
    "stall ÷ bare",
    "nothing ÷ bare",
    "read",
    "read of nothing",
]


def print_table(rows: list[list[str]]) -> None:
    """Print a table in reStructuredText."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rule = " ".join("=" * width for width in widths)
    print(rule)
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        # A row whose first cell is empty would go on with the one above.
        print(" ".join([cells[0] if row[0] else "..".ljust(widths[0]), *cells[1:]]).rstrip())
        if number == 0:
            print(rule)
    print(rule)


def import_seconds(statement: str) -> float:
    """Return the seconds of a processor that a process takes which imports and ends."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    process = os.posix_spawn(sys.executable, [sys.executable, "-c", statement], environment)
    _, _, usage = os.wait4(process, 0)
    return usage.ru_utime + usage.ru_stime


def print_imports() -> None:
    rounds = [[import_seconds(statement) for statement in IMPORTS] for _ in range(_IMPORT_RUNS)]
    least, ours = (statistics.median(column) for column in zip(*rounds[1:], strict=True))
    print(f"{IMPORTS[1]}: {ours:.3f} s of a processor, {ours / least:.2f} times {IMPORTS[0]!r}")


def size_of(text: str) -> Size:
    return Size(*map(int, text.split("x")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--changes", type=int, default=5, help="of each kind (default: 5)")
    parser.add_argument("--growth", action="store_true", help="vary one number after the other")
    parser.add_argument("--size", type=size_of, help="of features x segments x overrides, only")
    options = parser.parse_args()
    rows = [HEADS]
    for size in [options.size] if options.size else GROWTH if options.growth else SIZES:
        rows += rows_of(size, results_of(size, options.changes, not options.growth))
    print_table(rows)
    if not options.growth:
        print_imports()


if __name__ == "__main__":
    main()
