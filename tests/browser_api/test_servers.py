"""Event streams in the workers of real servers: they follow changes, and end with their worker."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.servers import Served, environment_of, gunicorn, uwsgi
from tests.support.waiting import PATIENCE_SECONDS

APP = "tests.support.live_app:create_app()"
STREAMS = 3

pytestmark = pytest.mark.slow


def gunicorn_with(*options: str) -> list[str]:
    return gunicorn("--graceful-timeout", "600", *options, app=APP)


@pytest.fixture
def server(emulator: Emulator, request: pytest.FixtureRequest) -> Iterator[Served]:
    """A server with one worker."""
    running = Served(request.param, environment_of(emulator.config))
    yield running
    running.kill()


def events_of(server: Served) -> Iterator[str]:
    """The data of the events of a new stream. The first one has come when this returns."""
    answer = requests.get(
        f"{server.url}/flagsmith/browser/events", stream=True, timeout=PATIENCE_SECONDS
    )
    assert answer.status_code == 200, answer.text
    lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
    data = (line.removeprefix("data: ") for line in lines if line.startswith("data: "))
    next(data)
    return data


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(gunicorn_with("--threads", "8"), id="gthread"),
        pytest.param(gunicorn_with("--threads", "8", "--preload"), id="gthread-preload"),
        pytest.param(gunicorn_with("--worker-class", "gevent"), id="gevent"),
        pytest.param(gunicorn_with("--worker-class", "gevent", "--preload"), id="gevent-preload"),
        pytest.param(uwsgi("--threads", "8", app=APP), id="uwsgi"),
    ],
    indirect=True,
)
def test_streams_follow_and_end_with_their_worker(server: Served, emulator: Emulator) -> None:
    streams = [events_of(server) for _ in range(STREAMS)]
    epoch = emulator.set_flag("banner_text", value="followed")
    with ThreadPoolExecutor(STREAMS) as pool:
        for data in pool.map(next, streams):
            assert data == f'{{"updated_at": {epoch!r}}}'
    assert server.get("/state")["banner"] == "followed"
    server.stop()
    assert "Traceback" not in server.output
    for stream in streams:
        with pytest.raises((StopIteration, requests.RequestException)):
            next(stream)


@pytest.mark.parametrize("server", [gunicorn_with("--threads", "4")], indirect=True)
def test_streams_leave_threads_for_requests(server: Served) -> None:
    streams = [events_of(server) for _ in range(3)]
    # Not kept: see Served.get().
    refused = requests.get(
        f"{server.url}/flagsmith/browser/events",
        headers={"Connection": "close"},
        timeout=PATIENCE_SECONDS,
    )
    assert refused.status_code == 503
    assert server.get("/state")["banner"]
    server.process.send_signal(signal.SIGINT)
    server.wait()
    del streams
