"""The recipes of the documentation: the same files that it shows."""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from flask import Flask
from redis import Redis
from rq import Queue

from flask_flagsmith_realtime import FlagsmithRealtime
from flask_flagsmith_realtime.emulator import Emulator
from tests.integrations.recipes.caching import cache_pages
from tests.integrations.recipes.scheduler import schedule
from tests.support.apps import MakeApp
from tests.support.redis_server import RedisServer
from tests.support.servers import Serve, Served, environment_of
from tests.support.waiting import PATIENCE_SECONDS, eventually

RECIPES = "tests.integrations.recipes"


@pytest.fixture
def recipe(
    redis_server: RedisServer, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Any]]:
    """Imports recipes as a client does, which only puts tasks into the queue."""
    for name, value in environment_of(emulator.config).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLASK_FLAGSMITH_AUTOSTART", "False")
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    yield lambda name: importlib.import_module(f"{RECIPES}.{name}")
    for name in [name for name in sys.modules if name.startswith(f"{RECIPES}.")]:
        del sys.modules[name]


def start(
    serve: Serve, redis_server: RedisServer, command: list[str], ready: str, **settings: Any
) -> Served:
    """Start a worker, and wait until it is ready."""
    settings |= {"ENABLE_ANALYTICS": True, "ANALYTICS_INTERVAL_SECONDS": 3600}
    # Its last report may take longer than a worker waits for it.
    command = [sys.executable, "-m", "tests.support.patiently", *command]
    worker = serve(command, {"REDIS_URL": redis_server.url}, **settings)
    worker.wait_for_output(ready)
    return worker


def check(emulator: Emulator, worker: Served, run: Callable[[], Any]) -> None:
    """Check that a worker's tasks follow a change, and that it reports its usage."""
    emulator.set_flag("banner_text", value="before")
    eventually(lambda: run() == "before", lambda: worker.output)
    emulator.set_flag("banner_text", value="after")
    eventually(lambda: run() == "after", lambda: worker.output)
    worker.stop()
    assert emulator.analytics["banner_text"] >= 2, worker.output


@pytest.mark.slow
def test_celery(
    serve: Serve, redis_server: RedisServer, emulator: Emulator, recipe: Callable[[str], Any]
) -> None:
    tasks = recipe("celery_tasks")
    options = ["--concurrency", "1", "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
    command = ["celery", "-A", f"{RECIPES}.celery_tasks:celery", "worker", *options]
    worker = start(serve, redis_server, command, "ready")

    def run() -> Any:
        result = tasks.banner.delay()
        value = result.get(timeout=PATIENCE_SECONDS)
        result.forget()
        return value

    check(emulator, worker, run)
    # Results unsubscribe where they are collected: now, while Redis runs.
    gc.collect()
    tasks.celery.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rq_worker", "rq_forking_worker"])
def test_rq(serve: Serve, redis_server: RedisServer, emulator: Emulator, name: str) -> None:
    settings = {"REDIS_URL": redis_server.url} if name == "rq_forking_worker" else {}
    worker = start(serve, redis_server, [f"{RECIPES}.{name}"], "Listening on", **settings)
    connection = Redis.from_url(redis_server.url)
    queue = Queue(connection=connection)

    def run() -> Any:
        job = queue.enqueue(f"{RECIPES}.{name}.banner")
        eventually(lambda: job.get_status(refresh=True) == "finished", lambda: worker.output)
        return job.return_value()

    check(emulator, worker, run)
    # Children that are forked for a job open none.
    assert emulator.streams_opened == 1, worker.output
    connection.close()


@pytest.mark.slow
def test_huey(
    serve: Serve, redis_server: RedisServer, emulator: Emulator, recipe: Callable[[str], Any]
) -> None:
    tasks = recipe("huey_tasks")
    command = ["huey.bin.huey_consumer", f"{RECIPES}.huey_tasks.huey", "-w", "1"]
    worker = start(serve, redis_server, command, "The following commands are available")
    check(emulator, worker, lambda: tasks.banner()(blocking=True, timeout=PATIENCE_SECONDS))


def test_apscheduler(make_app: MakeApp, emulator: Emulator) -> None:
    emulator.set_flag("banner_text", value="before")
    banners: list[object] = []
    scheduler = schedule(make_app(), banners)
    eventually(lambda: "before" in banners)
    emulator.set_flag("banner_text", value="after")
    eventually(lambda: "after" in banners)
    scheduler.shutdown()


def test_asgi(recipe: Callable[[str], Any], emulator: Emulator) -> None:
    others = set(threading.enumerate())
    asgi_app = recipe("asgi").create_asgi_app()

    async def get() -> str:
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "headers": [],
            "server": ("127.0.0.1", 80),
        }
        communicator = ApplicationCommunicator(asgi_app, scope)
        await communicator.send_input({"type": "http.request", "body": b""})
        await communicator.receive_output(timeout=PATIENCE_SECONDS)
        text, more = b"", True
        while more:
            part = await communicator.receive_output(timeout=PATIENCE_SECONDS)
            text, more = text + part.get("body", b""), part.get("more_body", False)
        # Without this, the app's thread would wait for an event loop that has ended.
        await communicator.wait(timeout=PATIENCE_SECONDS)
        return text.decode()

    assert asyncio.run(get()) == "Welcome to the tea shop"
    emulator.set_flag("banner_text", value="after")
    eventually(lambda: asyncio.run(get()) == "after")
    shop: Flask = asgi_app.wsgi_application
    FlagsmithRealtime().stop(shop)
    eventually(
        lambda: "flagsmith-refresher" not in {t.name for t in set(threading.enumerate()) - others}
    )


def test_flask_caching(make_app: MakeApp, emulator: Emulator) -> None:
    flagsmith = FlagsmithRealtime()
    app = make_app(flagsmith)
    cache_pages(app, flagsmith)
    client = app.test_client()
    assert client.get("/cached").text == "Welcome to the tea shop"
    assert emulator.wait_for_streams(1)
    emulator.set_flag("banner_text", value="after")
    eventually(lambda: client.get("/cached").text == "after")
