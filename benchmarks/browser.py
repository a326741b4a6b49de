"""The costs of pages that follow, and of the SDK's API on the app's own origin.

Four parts, the first two by CPU time: the answer of ``flags/`` beside a view that returns the same
bytes; ten flags in a request of an app with and without the blueprint; open event streams of one
gevent worker of gunicorn; and the time from a change until Chromium shows it. A local Flagsmith on
loopback. Needs chromium::

    python -m benchmarks.browser
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Flask, Response, render_template_string

from flask_flagsmith_realtime import FlagsmithRealtime, flags
from flask_flagsmith_realtime.emulator import Emulator

from .environment import READ, document
from .reading import ENVIRON

FEATURES = 200
ROUNDS = 200
CALLS_A_ROUND = 20
API_ROUNDS = 10
API_CALLS = 1000
PATIENCE_SECONDS = 120.0
API_PATH = "/flagsmith/browser/api/v1/flags/"
BIN = Path(sys.executable).parent

_PAGE = """<!doctype html><title>Page</title>{{ flagsmith_live() }}
<p id="banner" data-flagsmith-live>{{ flags.banner_text.value }}</p>"""


def create_app() -> Flask:
    """Make the app that gunicorn serves."""
    app = Flask("bench")
    app.config.from_prefixed_env()
    app.register_blueprint(FlagsmithRealtime(app).browser)

    @app.get("/")
    def page() -> str:
        return render_template_string(_PAGE)

    body = b""

    @app.get("/same")
    def same() -> Response:
        nonlocal body
        body = body or app.test_client().get(API_PATH).data
        return Response(body, mimetype="application/json")

    return app


def time_of(app: Flask, path: str) -> float:
    """Return the microseconds of this thread's CPU time for a call."""
    begin = time.thread_time()
    for _ in range(CALLS_A_ROUND):
        environ = {**ENVIRON, "PATH_INFO": path, "wsgi.multithread": True, "HTTP_HOST": "localhost"}
        answer: Any = app.wsgi_app(environ, lambda status, headers, *_: None)
        for _ in answer:
            pass
        answer.close()
    return (time.thread_time() - begin) / CALLS_A_ROUND * 1e6


def compare(first: tuple[Flask, str], second: tuple[Flask, str]) -> tuple[float, float]:
    """Return the medians of two views' times, which are measured by turns."""
    times: tuple[list[float], list[float]] = [], []
    for call in (first, second):
        time_of(*call)
    for _ in range(ROUNDS):
        for index, call in enumerate((first, second)):
            times[index].append(time_of(*call))
    return statistics.median(times[0]), statistics.median(times[1])


def offline_app(*, with_blueprint: bool) -> Flask:
    """Return an app that reads ten flags of an offline file."""
    app = Flask("bench")
    path = Path(tempfile.mkdtemp()) / "environment.json"
    path.write_text(app.json.dumps(document(FEATURES)))
    app.config["FLAGSMITH_OFFLINE_FILE"] = path
    flagsmith = FlagsmithRealtime(app)
    if with_blueprint:
        app.register_blueprint(flagsmith.browser)

    @app.get("/read")
    def read() -> str:
        return str(sum(flags.is_feature_enabled(name) for name in READ))

    return app


def measure_api() -> None:
    """By the worker's CPU time for a request, since other programs use the machine, too."""
    paths = {"the blueprint": API_PATH, "a view with the same bytes": "/same"}
    times: dict[str, list[float]] = {path: [] for path in paths.values()}
    with (
        Emulator(document=document(FEATURES)) as emulator,
        served(emulator, "--threads", "2") as (port, pid),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        size = 0
        for number in range(API_ROUNDS + 1):
            for path in times:
                begin = cpu_seconds(pid)
                for _ in range(API_CALLS):
                    connection.request("GET", path)
                    size = len(connection.getresponse().read())
                if number:
                    times[path].append((cpu_seconds(pid) - begin) / API_CALLS * 1e6)
        connection.close()
    print(f"flags/ of {FEATURES} features, {size / 1024:.0f} KiB, under gunicorn")
    for name, path in paths.items():
        print(f"    {name:26} {statistics.median(times[path]):7.0f} µs of CPU")
    ratio = statistics.median(times["/same"]) / statistics.median(times[API_PATH])
    print(f"    requests a second          {ratio:7.2f} times   at least 0.8")


def measure_reading() -> None:
    apps = [offline_app(with_blueprint=True), offline_app(with_blueprint=False)]
    with_it, without = compare((apps[0], "/read"), (apps[1], "/read"))
    print("ten flags in a request")
    print(f"    with the blueprint         {with_it:7.1f} µs")
    print(f"    without                    {without:7.1f} µs")


@contextlib.contextmanager
def served(emulator: Emulator, *options: str, **settings: object) -> Iterator[tuple[int, int]]:
    """Run the app under gunicorn.

    :returns: the port, and the process id of the worker.
    """
    config = {**emulator.config, **settings}
    environ = {**os.environ, **{f"FLASK_{name}": str(value) for name, value in config.items()}}
    command = [str(BIN / "gunicorn"), "--bind", "127.0.0.1:0", *options]
    process = subprocess.Popen(
        [*command, "benchmarks.browser:create_app()"],
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        text = ""
        while "Booting worker" not in text:
            text += process.stderr.readline()
        port = int(re.findall(r"127\.0\.0\.1:(\d+)", text)[0])
        yield port, int(re.findall(r"with pid: (\d+)", text)[0])
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


class Streams:
    """Many open event streams, read by one thread."""

    def __init__(self, port: int, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._received: dict[socket.socket, str] = {}
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(b"GET /flagsmith/browser/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self._selector.register(connection, selectors.EVENT_READ)
            self._received[connection] = ""

    def wait(self, text: str) -> tuple[float, float]:
        """Wait until all have received a text; return when the first and the last had."""
        times = []
        waiting = set(self._received)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while waiting and time.monotonic() < deadline:
            for key, _ in self._selector.select(1):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                received = connection.recv(65536).decode()
                assert received, self._received[connection]
                self._received[connection] += received
                if connection in waiting and text in self._received[connection]:
                    waiting.remove(connection)
                    times.append(time.monotonic())
        assert not waiting, f"{len(waiting)} streams did not receive {text}"
        return times[0], times[-1]

    def drain(self, seconds: float) -> None:
        """Receive what comes for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.recv(65536)

    def close(self) -> None:
        for connection in self._received:
            connection.close()
        self._selector.close()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0])


def measure_streams(count: int, idle_seconds: float) -> None:
    options = ("--worker-class", "gevent", "--worker-connections", str(2 * count))
    with (
        Emulator() as emulator,
        served(emulator, *options, FLAGSMITH_BROWSER_STREAMS=count) as (port, pid),
    ):
        warm = Streams(port, 10)
        warm.wait(repr(emulator.epoch))
        before = memory_kib(pid)
        streams = Streams(port, count - 10)
        streams.wait(repr(emulator.epoch))
        grown = memory_kib(pid) - before
        used = cpu_seconds(pid)
        streams.drain(idle_seconds)
        share = (cpu_seconds(pid) - used) / idle_seconds
        spans = []
        for number in range(5):
            changed = time.monotonic()
            epoch = emulator.set_flag("banner_text", value=f"change {number}")
            first, last = streams.wait(repr(epoch))
            spans.append((last - changed, last - first))
        streams.close()
        warm.close()
    print(f"{count} open streams of one gevent worker")
    print(f"    memory of each             {grown / (count - 10):7.1f} KiB   at most 60")
    print(f"    CPU while nothing changes  {100 * share:7.2f} %   at most 2")
    print(f"    change to the last stream  {max(s[0] for s in spans):7.2f} s   at most 1")
    print(f"    first to last stream       {max(s[1] for s in spans):7.2f} s")


def measure_page(changes: int, workers: int) -> None:
    from playwright.sync_api import sync_playwright

    from tests.support.browsers import BROWSERS, OPTIONS
    from tests.support.programs import find_program

    options = ("--workers", str(workers), "--threads", "16")
    watch = """() => {
        window.shown = {};
        const banner = document.querySelector("#banner");
        const observer = new MutationObserver(() => {
            shown[banner.textContent] = performance.timeOrigin + performance.now();
        });
        observer.observe(banner, {childList: true, characterData: true, subtree: true});
    }"""
    with (
        Emulator() as emulator,
        served(emulator, *options) as (port, _),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=find_program(*BROWSERS), args=list(OPTIONS)
        )
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        page.evaluate(watch)
        times = []
        for number in range(changes + 1):
            begin = time.time()
            emulator.set_flag("banner_text", value=f"change {number}")
            page.wait_for_function(f"shown['change {number}']")
            times.append(page.evaluate(f"shown['change {number}']") / 1000 - begin)
            time.sleep(0.4)
        browser.close()
    times = times[1:]
    print(f"a change on Flagsmith to the page shown, {workers} worker(s), {changes} changes")
    print(f"    median                     {1000 * statistics.median(times):7.0f} ms   at most 150")
    print(f"    longest                    {1000 * max(times):7.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--idle-seconds", type=float, default=45.0)
    parser.add_argument("--changes", type=int, default=30)
    arguments = parser.parse_args()
    measure_api()
    measure_reading()
    measure_streams(arguments.streams, arguments.idle_seconds)
    for workers in (1, 2):
        measure_page(arguments.changes, workers)


if __name__ == "__main__":
    main()
