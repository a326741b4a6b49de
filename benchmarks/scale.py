"""The cost of a change in environments of any size: here, in the official SDK, and at the least.

One server process prepares the documents; each client follows it in a process of its own. Measured
are the seconds from the event to the new value, the longest moment in which another thread of the
process could not run, the memory that the client adds, and the seconds that an answer costs which
brings nothing new. The least is a GET and ``json.loads`` of the same document::

    python -m benchmarks.scale --changes 9
    python -m benchmarks.scale --growth

The figures need a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import requests

from . import scale_server
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
_PAUSE_SECONDS = 0.7
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Result:
    """The medians of one client, in seconds and MiB."""

    visible: float
    stall: float
    memory: float
    nothing_new: float


class Client:
    """A client in a process of its own."""

    def __init__(self, subject: str, url: str) -> None:
        self._url = url
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.scale_subjects", subject, url],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._next_report()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def seconds_until_visible(self, kind: str) -> tuple[float, float, float]:
        """Announce a change, or nothing new, and return what it cost: seconds, stall and memory."""
        time.sleep(_PAUSE_SECONDS)
        announced = requests.post(f"{self._url}{kind}", timeout=_PATIENCE_SECONDS).json()
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


def measure(subject: str, url: str, changes: int) -> Result:
    with Client(subject, url) as client:
        costs = [client.seconds_until_visible("change") for _ in range(changes)]
        nothing = [client.seconds_until_visible("nothing")[0] for _ in range(changes)]
    visible, stall, memory = (list(column) for column in zip(*costs, strict=True))
    return Result(
        statistics.median(visible),
        statistics.median(stall),
        memory[-1] / 2**20,
        statistics.median(nothing),
    )


def results_of(size: Size, subjects: list[str], changes: int) -> dict[str, Result]:
    process, url = scale_server.start(size)
    try:
        return {subject: measure(subject, url, changes) for subject in subjects}
    finally:
        process.kill()
        process.join()


def rows_of(size: Size, results: dict[str, Result]) -> Iterator[list[str]]:
    title = f"{size} ({len(LargeEnvironment(size).write('', 0)) / 2**20:.2f} MiB)"
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--changes", type=int, default=5, help="of each kind (default: 5)")
    parser.add_argument("--growth", action="store_true", help="vary one number after the other")
    options = parser.parse_args()
    rows = [HEADS]
    for size in GROWTH if options.growth else SIZES:
        rows += rows_of(size, results_of(size, list(SUBJECTS), options.changes))
    print_table(rows)


if __name__ == "__main__":
    main()
