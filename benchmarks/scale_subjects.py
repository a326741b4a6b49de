"""The clients that the benchmark of scale compares, each in a process of its own.

``python -m benchmarks.scale_subjects SUBJECT URL [REDIS]`` follows the server's changes, while a
thread wakes up every half a millisecond and notes when it could not. For each change it prints a
line of JSON: the value, the moment at which a reader could see it, the pauses of that thread, each
with its end, and the memory added since before the first document.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from .large_environment import CLIENT_SIDE_KEY, FEATURE, SERVER_SIDE_KEY

Read = Callable[[], Any]
_TICK_SECONDS = 0.0005
#: The time for work that follows when a change can be read, such as signals.
_AFTERWARDS_SECONDS = 0.2


def bare(url: str) -> Iterator[Read]:
    """A GET and ``json.loads`` for each event, and nothing else."""
    import requests

    session = requests.Session()
    newest: dict[str, Any] = {}

    def fetch() -> None:
        body = session.get(f"{url}api/v1/environment-document/").content
        newest["document"] = json.loads(body)
        newest["fetches"] = newest.get("fetches", 0) + 1

    def follow() -> None:
        stream = requests.get(
            f"{url}sse/environments/{CLIENT_SIDE_KEY}/stream", stream=True, timeout=None
        )
        for line in stream.iter_lines(chunk_size=1):
            if b"data:" in line:
                fetch()

    yield lambda: None
    fetch()
    threading.Thread(target=follow, daemon=True).start()

    def read() -> Any:
        return newest["document"]["feature_states"][0]["feature_state_value"], newest["fetches"]

    yield read


def sdk(url: str) -> Iterator[Read]:
    """The official SDK, in local evaluation with real-time updates."""
    from flagsmith import Flagsmith

    yield lambda: None
    client: Any = Flagsmith(
        environment_key=SERVER_SIDE_KEY,
        api_url=f"{url}api/v1/",
        realtime_api_url=url,
        enable_local_evaluation=True,
        enable_realtime_updates=True,
    )

    def read() -> Any:
        # Its public methods evaluate all features at each read: that would measure the reader.
        context = client._evaluation_context
        return context["features"][FEATURE]["value"], id(context)

    yield read


def ours(url: str, redis_url: str | None = None) -> Iterator[Read]:
    """This project, in local evaluation; with a Redis, a member of a fleet."""
    from flask import Flask

    from flask_flagsmith_realtime import FlagsmithRealtime, flags

    app = Flask("scale")
    app.config.update(
        FLAGSMITH_ENVIRONMENT_KEY=SERVER_SIDE_KEY,
        FLAGSMITH_API_URL=f"{url}api/v1/",
        FLAGSMITH_REALTIME_API_URL=url,
        FLAGSMITH_REDIS_URL=redis_url,
        FLAGSMITH_AUTOSTART=False,
    )
    yield lambda: None
    flagsmith = FlagsmithRealtime(app)
    flagsmith.start(app)

    def read() -> Any:
        with app.app_context():
            return flags.get_feature_value(FEATURE), flags.epoch

    yield read


SUBJECTS: dict[str, Callable[..., Iterator[Read]]] = {
    "bare": bare,
    "SDK": sdk,
    "this project": ours,
}


def main() -> NoReturn:
    _, subject, *urls = sys.argv
    steps = SUBJECTS[subject](*urls)
    next(steps)
    before = _memory()
    read = next(steps)
    report_changes(read, before)


def report_changes(read: Read, memory_before: int) -> NoReturn:
    """Print each change, and each answer that changes nothing, once its work is over."""
    seen = read()
    pauses: list[tuple[float, float]] = []
    report: dict[str, Any] = {"value": seen[0], "visible_at": time.monotonic()}
    ticked_at = time.monotonic()
    while True:
        time.sleep(_TICK_SECONDS)
        now = time.monotonic()
        if now - ticked_at > 2 * _TICK_SECONDS:
            pauses.append((now, now - ticked_at - _TICK_SECONDS))
        ticked_at = now
        found = read()
        if found != seen:
            seen = found
            report = {"value": found[0], "visible_at": time.monotonic()}
        if report and now - report["visible_at"] > _AFTERWARDS_SECONDS:
            memory = _memory() - memory_before
            print(json.dumps({**report, "pauses": pauses, "memory": memory}), flush=True)
            report, pauses = {}, []
            ticked_at = time.monotonic()


def _memory() -> int:
    """The resident memory of this process, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
