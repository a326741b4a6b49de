"""The time that reading ten flags adds to a request, here and with other libraries.

One process, one WSGI call at a time, no server and no network: each subject is a Flask app whose
view reads ten flags of an environment of 200 and of 1,000 features. The subjects alternate. The
result is the median, over all rounds, of the difference between a call and the calls right before
and after it of another view of the same app, which reads no flag::

    make bench
    python -m benchmarks.reading --rounds 200
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, Identity, flag_evaluated, flags
from flask_flagsmith_realtime.model import MOST_IDENTITIES

from . import peers
from .environment import IDENTIFIER, READ, TRAITS, document

SIZES = (200, 1000)
CALLS_A_ROUND = 40
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "QUERY_STRING": "",
    "SCRIPT_NAME": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.url_scheme": "http",
}

Subject = Callable[[int], Flask]


def app_of(read: Callable[[], int]) -> Flask:
    """Return an app with two views: one reads flags, the other does the same without flags."""
    app = Flask("bench")

    @app.get("/read")
    def view() -> str:
        return str(read())

    @app.get("/bare")
    def bare() -> str:
        return str(count())

    return app


def count() -> int:
    """Stand in for the reading of flags."""
    return sum(True for name in READ)


def peer(make: Callable[[int], Callable[[], int]]) -> Subject:
    return lambda features: app_of(make(features))


def document_file(features: int) -> Path:
    path = Path(tempfile.mkdtemp()) / "environment.json"
    path.write_text(json.dumps(document(features)))
    return path


def ours(identity: Callable[[], Identity] | None = None) -> Subject:
    def make(features: int) -> Flask:
        app = app_of(lambda: sum(flags.is_feature_enabled(name) for name in READ))
        app.config["FLAGSMITH_OFFLINE_FILE"] = document_file(features)
        flagsmith = FlagsmithRealtime(app)
        if identity is not None:
            flagsmith.identity_loader(identity)
        return app

    return make


def ours_by_openfeature(features: int) -> Flask:
    from openfeature import api

    from flask_flagsmith_realtime.integrations.openfeature import FlagsmithRealtimeProvider

    domain = f"this-project-{features}"
    client = api.get_client(domain)
    app = app_of(lambda: sum(client.get_boolean_value(name, False) for name in READ))
    app.config["FLAGSMITH_OFFLINE_FILE"] = document_file(features)
    api.set_provider(FlagsmithRealtimeProvider(FlagsmithRealtime(app), app), domain)
    return app


def somebody_known() -> Identity:
    return Identity(IDENTIFIER, TRAITS)


def somebody_new() -> Callable[[], Identity]:
    numbers = itertools.count()
    return lambda: Identity(f"identity {next(numbers)}", TRAITS)


SUBJECTS: dict[str, Subject] = {
    "a dict, the limit": peer(peers.dictionary),
    "this project: environment flags": ours(),
    "this project: an identity seen before": ours(somebody_known),
    "this project: a new identity": ours(somebody_new()),
    "GrowthBook SDK": peer(peers.growthbook),
    "Flagsmith SDK: an identity": peer(peers.flagsmith_identity),
    "LaunchDarkly SDK": peer(peers.launchdarkly),
    "Unleash SDK": peer(peers.unleash),
    "Flagsmith SDK: environment flags": peer(peers.flagsmith_environment),
    "OpenFeature over nothing: its own cost": peer(peers.openfeature_alone),
    "OpenFeature over this project": ours_by_openfeature,
    "OpenFeature over the Flagsmith SDK": peer(peers.openfeature),
}
#: These take milliseconds a call, and so get fewer calls.
SLOW = ("Flagsmith SDK: environment flags", "OpenFeature over the Flagsmith SDK")


def call(app: Flask, path: str = "/read") -> None:
    """Call the app as a server does."""
    environ = {**ENVIRON, "PATH_INFO": path}
    answer: Any = app.wsgi_app(environ, lambda status, headers, *_: None)
    for _ in answer:
        pass
    answer.close()


def time_of(app: Flask, path: str, calls: int) -> float:
    """Return the microseconds of this thread's CPU time for a call."""
    begin = time.thread_time()
    for _ in range(calls):
        call(app, path)
    return (time.thread_time() - begin) / calls * 1e6


def measure(features: int, rounds: int) -> dict[str, float]:
    """Return the time that each subject adds to a call, in microseconds."""
    apps = {name: make(features) for name, make in SUBJECTS.items()}
    added: dict[str, list[float]] = {name: [] for name in apps}
    for app in apps.values():
        time_of(app, "/read", 5)
    for number in range(rounds):
        for name, app in apps.items():
            if name in SLOW and number % 10:
                continue
            calls = 3 if name in SLOW else CALLS_A_ROUND
            before = time_of(app, "/bare", calls)
            taken = time_of(app, "/read", calls)
            after = time_of(app, "/bare", calls)
            added[name].append(taken - (before + after) / 2)
    return {name: statistics.median(times) for name, times in added.items()}


def memory_of_an_identity(features: int) -> float:
    """Return the bytes that are kept for an identity after reading ten flags."""
    identities = iter([Identity(f"identity {n}", {**TRAITS, "n": n}) for n in range(1100)])
    app = ours(lambda: next(identities))(features)
    for _ in range(50):
        call(app)
    count = 1000
    gc.collect()
    tracemalloc.start()
    begin = tracemalloc.get_traced_memory()[0]
    for _ in range(count):
        call(app)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0] - begin
    tracemalloc.stop()
    return kept / count


def cost_of_a_receiver(features: int, rounds: int) -> float:
    """Return the microseconds that an empty receiver of ``flag_evaluated`` adds to ten reads."""

    def receive(app: Flask, **_: Any) -> None:
        pass

    app = ours()(features)
    time_of(app, "/read", 5)
    added = []
    for _ in range(rounds):
        before = time_of(app, "/read", CALLS_A_ROUND)
        with flag_evaluated.connected_to(receive, sender=app):
            heard = time_of(app, "/read", CALLS_A_ROUND)
        after = time_of(app, "/read", CALLS_A_ROUND)
        added.append(heard - (before + after) / 2)
    return statistics.median(added)


def table(columns: dict[int, dict[str, float]]) -> Iterator[str]:
    """Return the results as a table in reStructuredText."""
    width = max(map(len, SUBJECTS))
    rule = f"{'=' * width} " + " ".join("=" * 14 for _ in columns)
    yield rule
    heads = " ".join(f"{features:>5,} features".ljust(14) for features in columns)
    yield f"{'µs for ten flags in a request'.ljust(width)} {heads}".rstrip()
    yield rule
    for name in SUBJECTS:
        figures = " ".join(f"{column[name]:>10,.1f}".ljust(14) for column in columns.values())
        yield f"{name.ljust(width)} {figures}".rstrip()
    yield rule


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60, help="more are steadier (default: 60)")
    rounds = parser.parse_args().rounds
    columns = {features: measure(features, rounds) for features in SIZES}
    print("\n".join(table(columns)))
    added = {features: cost_of_a_receiver(features, rounds) for features in SIZES}
    figures = ", ".join(f"{added[features]:.1f} at {features:,} features" for features in SIZES)
    print(f"\nµs more with a receiver of flag_evaluated that does nothing: {figures}.")
    kept = {features: memory_of_an_identity(features) for features in SIZES}
    figures = ", ".join(f"{kept[features]:,.0f} at {features:,} features" for features in SIZES)
    print(f"\nBytes kept for an identity (of {MOST_IDENTITIES:,} at most): {figures}.")
    # Some of the libraries leave threads that do not end by themselves.
    sys.stdout.flush()


if __name__ == "__main__":
    main()
