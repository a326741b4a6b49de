"""The soak: random faults and random changes against gunicorn, for any time.

Two apps, one in local and one in remote evaluation, with default settings, in several workers. Each
has a Flagsmith of its own, which changes and fails at random, see :mod:`.torment`; receivers of
signals block, log handlers block and raise, see :mod:`.soak_app`. The last change is made before
the faults end. Then each worker must serve it and must have sent a signal for it; none may ever
have served older or wrong flags, lost a change between two signals, or made more calls and
connections than promised::

    python -m benchmarks.soak --minutes 10 --seed 1

Ends with status 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import requests

from tests.support.lanes import BEFORE, Lane, Lanes
from tests.support.misbehaving import MisbehavingFlagsmith, Request

from .torment import Torment

#: A poll of 60 s, 10 % late, of a call that hangs for 10 s; and as much again.
PATIENCE_SECONDS = 160.0
#: Fetches for one epoch, or after one failure: one, and eight retries.
FETCHES = 9
SHORTEST_POLL_SECONDS = 0.9 * 60.0
MOST_NEW_DESCRIPTORS = 8
MOST_NEW_MEMORY_MIB = 128
#: The members of an answer that have to be right at the end.
BANNERS = ("banner", "identity_banner", "signalled")

Answer = dict[str, Any]


class Load(threading.Thread):
    """Sends requests, one after the other, until it is stopped."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._stopping = threading.Event()
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._stopping.wait(0.02):
            began = time.perf_counter()
            try:
                requests.get(self._url, timeout=30).raise_for_status()
            except requests.RequestException as error:
                self.failures.append(str(error))
            self.seconds.append(time.perf_counter() - began)

    def stop(self) -> None:
        self._stopping.set()
        self.join()


class Report:
    """A table on the screen, and the promises that were broken."""

    def __init__(self) -> None:
        self.broken: list[str] = []

    def line(self, what: str, *figures: object, bound: str = "") -> None:
        """Print a row."""
        print(f"{what:<34}" + "".join(f"{figure!s:>14}" for figure in figures) + f"   {bound}")

    def bounded(self, what: str, figures: list[float], bounds: list[float]) -> None:
        """Print a row of figures with bounds."""
        most = " / ".join(f"{bound:.0f}" for bound in bounds)
        self.line(what, *[f"{figure:.0f}" for figure in figures], bound=f"at most {most}")
        if any(figure > bound for figure, bound in zip(figures, bounds, strict=True)):
            self.broken.append(what)

    def grown(self, what: str, before: int, after: int, bound: int) -> None:
        """Print a row with a bound for the figure at the end."""
        self.line(what, before, after, bound=f"at most {bound}")
        if after > bound:
            self.broken.append(what)

    def promised(self, what: str, kept: bool) -> None:
        """Print a row for a promise."""
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
        results = soak(lanes, options.minutes * 60, options.workers, options.seed)
        broken = report_on(results, options.seed)
    finally:
        lanes.close()
    print("as promised" if not broken else f"NOT as promised: {broken}")
    return 1 if broken else 0


@dataclass(frozen=True)
class Results:
    """The results of a soak.

    :param seconds: how long it lasted, and until the flags were right after its end.
    :param before: the figures of the workers with the local lane before it.
    :param after: the figures of the workers by lane after it.
    """

    lanes: Lanes
    torments: dict[str, Torment]
    workers: int
    load: Load
    seconds: float
    settled_seconds: float
    before: list[Answer]
    after: dict[str, list[Answer]]


def soak(lanes: Lanes, seconds: float, workers: int, seed: str) -> Results:
    """Run it."""
    remote = {"ENVIRONMENT_KEY": MisbehavingFlagsmith.client_side_key}
    torments = {name: Torment(lane.flagsmith, f"{seed} {name}") for name, lane in lanes.items()}
    lanes.serve(
        {"remote": remote}, "--workers", str(workers), app="benchmarks.soak_app:create_app()"
    )
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
    settled_seconds = time.monotonic() - ended
    load.stop()
    seconds = time.monotonic() - began
    return Results(lanes, torments, workers, load, seconds, settled_seconds, before, after)


def report_on(results: Results, seed: str) -> list[str]:
    """Print the results.

    :returns: the promises that were broken.
    """
    report = Report()
    print(f"{results.seconds / 60:.1f} minutes, {results.workers} workers, seed {seed}\n")
    _report_costs(report, results)
    for name, share in (("median", 50), ("95 %", 95), ("longest", 100)):
        ages = [percentile(share, ages_of(answers)) for answers in results.after.values()]
        report.line(f"seen after, {name}", *(f"{age:.3f} s" for age in ages))
    report.line("lines in the log", results.lanes.server.output.count("lagsmith"))
    print()
    _report_promises(report, results)
    for what, unit, most in (
        ("threads", 1, 0),
        ("descriptors", 1, MOST_NEW_DESCRIPTORS),
        ("memory_kib", 1024, MOST_NEW_MEMORY_MIB),
    ):
        local = results.before, results.after["local"]
        first, last = (max(answer[what] for answer in answers) // unit for answers in local)
        name = what.removesuffix("_kib")
        report.grown(f"{name}, before and after", first, last, first + most)
    faults = sum((torment.faults for torment in results.torments.values()), Counter())
    # Each worker has one log and one set of receivers for both of its apps.
    faults += sum((Counter(answer["faults"]) for answer in results.after["local"]), Counter())
    print("\nfaults: " + ", ".join(f"{fault} ({count})" for fault, count in sorted(faults.items())))
    return report.broken


def _report_costs(report: Report, results: Results) -> None:
    lanes, workers = results.lanes, results.workers
    torments = results.torments.values()
    report.line("", *lanes)
    report.line("changes", *(torment.changes for torment in torments))
    report.line("moments of change", *(torment.moments for torment in torments))
    report.line("faults", *(sum(torment.faults.values()) for torment in torments))
    calls = [refetches(lane) for lane in lanes.values()]
    report.bounded(
        "calls for the environment",
        [len(asked) for asked in calls],
        [most_calls(results, name) for name in lanes],
    )
    report.line(
        "calls a worker and moment",
        *(
            f"{len(asked) / workers / torment.moments:.2f}"
            for asked, torment in zip(calls, torments, strict=True)
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
        [workers * (results.seconds + 2)] * 2,
    )
    report.bounded(
        "most of them in 10 s",
        [most_within(10, opened) for opened in connections],
        [workers * (10 + 1)] * 2,
    )


def _report_promises(report: Report, results: Results) -> None:
    figures = [answer for answers in results.after.values() for answer in answers]
    leaks = [lane.flagsmith.leaks for lane in results.lanes.values()]
    seconds = results.load.seconds
    report.promised(f"right flags, {results.settled_seconds:.0f} s after the end", kept=True)
    report.promised("never back to older flags", not any(a["falls"] for a in figures))
    report.promised("never wrong flags", not any(a["wrong_banners"] for a in figures))
    report.promised(
        "no change between two signals lost", not any(a["lost_changes"] for a in figures)
    )
    report.promised("no traceback", "Traceback" not in results.lanes.server.output)
    report.promised("the key went nowhere else", not any(leaks))
    report.promised(
        f"{len(seconds)} requests answered, p50 {percentile(50, seconds) * 1000:.1f}, "
        f"p99 {percentile(99, seconds) * 1000:.1f}, most {max(seconds) * 1000:.0f} ms",
        not results.load.failures,
    )


def settle(lane: Lane, workers: int, banner: str) -> list[Answer]:
    """Wait until all workers serve a banner, also to an identity, and have sent a signal for it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    path = f"/{lane.name}/figures"
    found: dict[int, Answer] = {}
    with ThreadPoolExecutor(4 * workers) as pool:
        while time.monotonic() < deadline:
            asked = [pool.submit(lane.server.get, path) for _ in range(4 * workers)]
            found |= {answer["pid"]: answer for answer in (task.result() for task in asked)}
            seen = {answer[key] for answer in found.values() for key in BANNERS}
            if len(found) == workers and seen == {banner}:
                return list(found.values())
            time.sleep(0.25)
    raise TimeoutError(f"{lane.name} still has {seen}, not {banner}\n{lane.server.output}")


def refetches(lane: Lane) -> list[Request]:
    """Return the calls for the environment. Those for identities are caused by requests."""
    return [*lane.flagsmith.environment_document.requests, *lane.flagsmith.flags.requests]


def most_calls(results: Results, name: str) -> float:
    """Return the largest number of calls of a lane that keeps the promise."""
    torment = results.torments[name]
    api_faults = sum(n for fault, n in torment.faults.items() if fault.startswith("API"))
    polls = results.seconds / SHORTEST_POLL_SECONDS + 1
    a_worker = FETCHES * (torment.moments + len(torment.unreal) + api_faults) + polls
    connections = results.lanes[name].flagsmith.stream.count
    return results.workers * a_worker + connections + torment.unnumbered


def most_within(seconds: float, asked: list[Request]) -> int:
    """Return the largest number of requests within some seconds."""
    times = sorted(request.at for request in asked)
    most = first = 0
    for last, at in enumerate(times):
        while times[first] < at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def ages_of(answers: list[Answer]) -> list[float]:
    """Return the age of each state when a worker had it, except for its first."""
    return [age for answer in answers for age in answer["ages"][1:]]


def percentile(share: float, figures: list[float]) -> float:
    """Return the figure that so many percent do not exceed."""
    ordered = sorted(figures)
    return ordered[min(int(len(ordered) * share / 100), len(ordered) - 1)]


if __name__ == "__main__":
    sys.exit(main())
