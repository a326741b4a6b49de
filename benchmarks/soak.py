"""The soak: random faults and random changes against gunicorn, for as long as one likes.

Two apps, one in local and one in remote evaluation, each with a Flagsmith of its own that is
tormented (see :mod:`.torment`), in several workers, at default settings. The last change is made
while faults go on, then they stop: each worker must show it, never have gone back to older flags,
and have cost no more calls and connections than promised::

    python -m benchmarks.soak --minutes 10 --seed 1

Ends with status 1 if anything was not as promised.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from tests.support.lanes import BEFORE, Lane, Lanes
from tests.support.misbehaving import MisbehavingFlagsmith, Request

from .torment import Torment

#: A poll of 60 s, 10 % late, of a call that hangs for 10 s; and as much again.
PATIENCE_SECONDS = 160.0
#: Fetches for one epoch, or after one failure: one, and eight tries again.
FETCHES = 9
SHORTEST_POLL_SECONDS = 0.9 * 60.0
MOST_NEW_DESCRIPTORS = 8
MOST_NEW_MEMORY_MIB = 128

Answer = dict[str, Any]


class Load(threading.Thread):
    """Requests, one after the other, for as long as the soak lasts."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._over = threading.Event()
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._over.wait(0.02):
            began = time.perf_counter()
            try:
                requests.get(self._url, timeout=30).raise_for_status()
            except requests.RequestException as error:
                self.failures.append(str(error))
            self.seconds.append(time.perf_counter() - began)

    def stop(self) -> None:
        self._over.set()
        self.join()


class Report:
    """A table, and what was not as promised."""

    def __init__(self) -> None:
        self.broken: list[str] = []

    def line(self, what: str, *figures: object, bound: str = "") -> None:
        """Print a row."""
        print(f"{what:<34}" + "".join(f"{figure!s:>14}" for figure in figures) + f"   {bound}")

    def bounded(self, what: str, figures: list[float], bounds: list[float]) -> None:
        """Print a row of figures that have bounds."""
        most = " / ".join(f"{bound:.0f}" for bound in bounds)
        self.line(what, *[f"{figure:.0f}" for figure in figures], bound=f"at most {most}")
        if any(figure > bound for figure, bound in zip(figures, bounds, strict=True)):
            self.broken.append(what)

    def grown(self, what: str, before: int, after: int, bound: int) -> None:
        """Print a row of what has a bound at the end."""
        self.line(what, before, after, bound=f"at most {bound}")
        if after > bound:
            self.broken.append(what)

    def promised(self, what: str, kept: bool) -> None:
        """Print a row that has to be true."""
        self.line(what, "yes" if kept else "NO")
        if not kept:
            self.broken.append(what)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", default="1")
    options = parser.parse_args()
    lanes = Lanes({name: Lane(name) for name in ("local", "remote")})
    try:
        return soak(lanes, options.minutes * 60, options.workers, options.seed)
    finally:
        lanes.close()


def soak(lanes: Lanes, seconds: float, workers: int, seed: str) -> int:
    """Run it and print what came of it."""
    remote = {"ENVIRONMENT_KEY": MisbehavingFlagsmith.client_side_key}
    torments = {name: Torment(lane.flagsmith, f"{seed} {name}") for name, lane in lanes.items()}
    lanes.serve({"remote": remote}, "--workers", str(workers))
    for lane in lanes.values():
        settle(lane, workers, BEFORE)
        lane.flagsmith.wait_for_streams(workers)
    before = settle(lanes["local"], workers, BEFORE)
    load = Load(f"{lanes.server.url}/local/banner")
    began = time.monotonic()
    load.start()
    for torment in torments.values():
        torment.start()
    while (left := began + seconds - time.monotonic()) > 0:
        time.sleep(min(left, 60))
        print(f"{time.monotonic() - began:4.0f} s …", file=sys.stderr, flush=True)
    for torment in torments.values():
        torment.stop()
    ended = time.monotonic()
    after = {
        name: settle(lane, workers, str(torments[name].changes)) for name, lane in lanes.items()
    }
    settled = time.monotonic() - ended
    load.stop()
    lasted = time.monotonic() - began

    report = Report()
    print(f"{lasted / 60:.1f} minutes, {workers} workers, seed {seed}\n")
    report.line("", *lanes)
    report.line("changes", *(torment.changes for torment in torments.values()))
    report.line("moments of change", *(torment.moments for torment in torments.values()))
    report.line("faults", *(sum(torment.faults.values()) for torment in torments.values()))
    calls = [refetches(lane) for lane in lanes.values()]
    report.bounded(
        "calls for the environment",
        [len(asked) for asked in calls],
        [most_calls(lanes[name], torment, workers, lasted) for name, torment in torments.items()],
    )
    report.line(
        "calls a worker and moment",
        *(
            f"{len(asked) / workers / torment.moments:.2f}"
            for asked, torment in zip(calls, torments.values(), strict=True)
        ),
    )
    report.bounded(
        "most of them in 10 s",
        [most_within(10, asked) for asked in calls],
        [workers * (4 * 10 + 1)] * 2,
    )
    connections = [lane.flagsmith.stream.requests for lane in lanes.values()]
    report.bounded(
        "connections of the stream",
        [len(opened) for opened in connections],
        [workers * (lasted + 2)] * 2,
    )
    report.bounded(
        "most of them in 10 s",
        [most_within(10, opened) for opened in connections],
        [workers * (10 + 1)] * 2,
    )
    for name, share in (("median", 50), ("95 %", 95), ("longest", 100)):
        ages = [percentile(share, ages_of(answers)) for answers in after.values()]
        report.line(f"seen after, {name}", *(f"{age:.3f} s" for age in ages))
    output = lanes.server.output
    report.line("lines in the log", output.count("lagsmith"))
    print()
    report.promised(f"right flags, {settled:.0f} s after the end", kept=True)
    everybody = [answer for answers in after.values() for answer in answers]
    report.promised("never back to older flags", not any(a["fell"] for a in everybody))
    report.promised("no traceback", "Traceback" not in output)
    report.promised("the key went nowhere else", not any(x.flagsmith.leaks for x in lanes.values()))
    report.promised(
        f"{len(load.seconds)} requests answered, p50 {percentile(50, load.seconds) * 1000:.1f}, "
        f"p99 {percentile(99, load.seconds) * 1000:.1f}, most {max(load.seconds) * 1000:.0f} ms",
        not load.failures,
    )
    for what, unit, most in (
        ("threads", 1, 0),
        ("descriptors", 1, MOST_NEW_DESCRIPTORS),
        ("memory_kib", 1024, MOST_NEW_MEMORY_MIB),
    ):
        first, last = (max(a[what] for a in now) // unit for now in (before, after["local"]))
        name = what.removesuffix("_kib")
        report.grown(f"{name}, before and after", first, last, first + most)
    print("\nfaults: " + ", ".join(sorted({f for t in torments.values() for f in t.faults})))
    print("as promised" if not report.broken else f"NOT as promised: {report.broken}")
    return 1 if report.broken else 0


def settle(lane: Lane, workers: int, banner: str) -> list[Answer]:
    """Wait until all workers show a banner."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    path = f"/{lane.name}/figures"
    found: dict[int, Answer] = {}
    with ThreadPoolExecutor(4 * workers) as pool:
        while time.monotonic() < deadline:
            asked = [pool.submit(lane.server.get, path) for _ in range(4 * workers)]
            found |= {answer["pid"]: answer for answer in (task.result() for task in asked)}
            if len(found) == workers and all(a["banner"] == banner for a in found.values()):
                return list(found.values())
            time.sleep(0.25)
    shown = [answer["banner"] for answer in found.values()]
    raise TimeoutError(f"{lane.name} still shows {shown}, not {banner}\n{lane.server.output}")


def refetches(lane: Lane) -> list[Request]:
    """The calls for the environment; identities are asked for by requests."""
    return [*lane.flagsmith.environment_document.requests, *lane.flagsmith.flags.requests]


def most_calls(lane: Lane, torment: Torment, workers: int, lasted: float) -> float:
    """How many calls are promised at the most."""
    api_faults = sum(n for fault, n in torment.faults.items() if fault.startswith("API"))
    polls = lasted / SHORTEST_POLL_SECONDS + 1
    a_worker = FETCHES * (torment.moments + len(torment.unreal) + api_faults) + polls
    return workers * a_worker + lane.flagsmith.stream.count + torment.unnumbered


def most_within(seconds: float, asked: list[Request]) -> int:
    """How many requests there were at the most within some seconds."""
    times = sorted(request.at for request in asked)
    most = first = 0
    for last, at in enumerate(times):
        while times[first] < at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def ages_of(answers: list[Answer]) -> list[float]:
    """How old each state was when a worker had it, but for its first."""
    return [age for answer in answers for age in answer["ages"][1:]]


def percentile(share: float, figures: list[float]) -> float:
    """What so many per cent do not exceed."""
    ordered = sorted(figures)
    return ordered[min(int(len(ordered) * share / 100), len(ordered) - 1)]


if __name__ == "__main__":
    sys.exit(main())
