"""The duration of a request while Flagsmith's API hangs, compared with its usual duration.

An app under gunicorn in local evaluation; its view reads a flag. Usual and hanging rounds
alternate. In a hanging round the fetches and the stream hang, while changes are announced::

    python -m benchmarks.hanging_api --rounds 20
"""

from __future__ import annotations

import argparse
import threading
import time

import requests

from tests.support.lanes import BEFORE, PLAIN, WORKERS, Lane, Lanes
from tests.support.misbehaving import END, answers

REQUESTS_A_ROUND = 500
PATHS = {"a flag": "/api/banner", "a flag for an identity": "/api/identity"}

Times = dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    lanes = Lanes({"api": Lane("api")})
    try:
        compare(lanes, options.rounds)
    finally:
        lanes.close()


def compare(lanes: Lanes, rounds: int) -> None:
    """Run all rounds and print a table."""
    lane = lanes["api"]
    lane.flagsmith.stream.always(PLAIN)
    lanes.serve({"api": {"REQUEST_TIMEOUT_SECONDS": 600, "STREAM_TIMEOUT_SECONDS": 600}})
    lane.wait_for_banner(BEFORE)
    ask(lanes, {path: [] for path in PATHS.values()})
    calm: Times = {path: [] for path in PATHS.values()}
    hanging: Times = {path: [] for path in PATHS.values()}
    for number in range(rounds):
        lane.flagsmith.wait_for_streams(WORKERS, timeout=60)
        ask(lanes, calm)
        ask_while_it_hangs(lanes, hanging, f"round {number}")
        lane.wait_for_banner(f"round {number}")
    print(f"{rounds} rounds of {REQUESTS_A_ROUND} requests each\n")
    print(f"{'':<26}{'calm':>20}{'hanging':>20}{'ratio':>18}")
    columns = f"{'p50':>10}{'p99':>10}" * 2 + f"{'p50':>9}{'p99':>9}"
    print(f"{'a request that reads':<26}{columns}")
    for what, path in PATHS.items():
        figures = [
            percentile(share, times[path]) for times in (calm, hanging) for share in (50, 99)
        ]
        row = "".join(f"{figure * 1000:>7.2f} ms" for figure in figures)
        ratios = figures[2] / figures[0], figures[3] / figures[1]
        print(f"{what:<26}{row}" + "".join(f"{ratio:>9.2f}" for ratio in ratios))


def ask(lanes: Lanes, times: Times) -> None:
    """Request each path many times, over one connection each."""
    for path, taken in times.items():
        with requests.Session() as session:
            for _ in range(REQUESTS_A_ROUND):
                began = time.perf_counter()
                session.get(lanes.server.url + path, timeout=60).raise_for_status()
                taken.append(time.perf_counter() - began)


def ask_while_it_hangs(lanes: Lanes, times: Times, banner: str) -> None:
    """Request each path while all calls to Flagsmith hang, in all workers."""
    flagsmith = lanes["api"].flagsmith
    flagsmith.environment_document.always(answers.hang)
    calls, streams = flagsmith.environment_document.count, flagsmith.stream.count
    flagsmith.change("banner_text", value=banner)
    flagsmith.wait_for(lambda: flagsmith.environment_document.count == calls + WORKERS)
    flagsmith.stream.always(answers.hang)
    over = threading.Event()
    announcing = threading.Thread(target=announce, args=(lanes, over))
    announcing.start()
    ask(lanes, times)
    over.set()
    announcing.join()
    assert flagsmith.environment_document.count == calls + WORKERS, "the fetch did not hang"
    assert flagsmith.stream.count == streams
    flagsmith.environment_document.always(answers.truth)
    flagsmith.stream.always(PLAIN)
    flagsmith.say(END)
    flagsmith.api_server.drop()


def announce(lanes: Lanes, over: threading.Event) -> None:
    """Announce the newest epoch again and again."""
    flagsmith = lanes["api"].flagsmith
    while not over.wait(0.02):
        flagsmith.announce(flagsmith.truth.version.epoch)


def percentile(share: int, times: list[float]) -> float:
    """Return a percentile."""
    return sorted(times)[len(times) * share // 100]


if __name__ == "__main__":
    main()
