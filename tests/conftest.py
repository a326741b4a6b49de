"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings

from flask_flagsmith_realtime import FlagsmithRealtime, logs
from flask_flagsmith_realtime.emulator import Emulator
from tests.support import ports
from tests.support.apps import MakeApp
from tests.support.logs import WaitingLog
from tests.support.misbehaving import MisbehavingFlagsmith
from tests.support.offline import make_offline_app, recorded_document
from tests.support.redis_server import RedisServer
from tests.support.servers import Serve, Served, environment_of
from tests.support.waiting import PATIENCE_SECONDS

#: Fixtures that start processes. Other slow tests have the mark themselves.
SLOW_FIXTURES = {"browser", "demo", "make_lanes", "redis_server", "serve"}

# How long an example takes says more about the machine than about the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests with a server, a browser or a Redis as slow."""
    for item in items:
        if SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.__class__ = WaitingLog
    return caplog


@pytest.fixture(autouse=True)
def _own_lines() -> Iterator[None]:
    """Lines of the threads of a test do not come in the next one."""
    yield
    logs.flush(PATIENCE_SECONDS)


class PatientEmulator(Emulator):
    """Waits for streams as long as all tests wait, and keeps its port while it is stopped."""

    def __init__(self, **options: Any) -> None:
        self._reserved = ports.reserve()
        super().__init__(self._reserved.getsockname()[1], **options)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._reserved.close()

    def wait_for_streams(self, count: int, timeout: float = PATIENCE_SECONDS) -> bool:
        return super().wait_for_streams(count, timeout)


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A local Flagsmith with the sample environment."""
    # It greets each stream. Greetings that come late would cost calls, which tests count.
    monkeypatch.setattr(
        "flask_flagsmith_realtime.engine.schedule.GREETING_SECONDS", PATIENCE_SECONDS
    )
    # A stream that is recycled in a slow test would count.
    with PatientEmulator(recycle_seconds=3600) as running:
        yield running


@pytest.fixture
def patient_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop posts what there is, however long it takes."""
    monkeypatch.setattr(
        "flask_flagsmith_realtime.reporting.reporter._FAREWELL_SECONDS", PATIENCE_SECONDS
    )


@pytest.fixture
def make_app(emulator: Emulator) -> Iterator[MakeApp]:
    """Makes apps that follow the emulator. Settings are given without their prefix."""
    apps: list[Flask] = []

    def make(extension: FlagsmithRealtime | None = None, **settings: Any) -> Flask:
        app = Flask(f"app_{len(apps)}")
        app.config.update(
            emulator.config,
            FLAGSMITH_STARTUP_TIMEOUT_SECONDS=PATIENCE_SECONDS,
            FLAGSMITH_REQUEST_TIMEOUT_SECONDS=PATIENCE_SECONDS,
        )
        app.config.update({f"FLAGSMITH_{name}": value for name, value in settings.items()})
        (extension or FlagsmithRealtime()).init_app(app)
        apps.append(app)
        return app

    yield make
    for app in apps:
        FlagsmithRealtime().stop(app)


@pytest.fixture
def extension() -> FlagsmithRealtime:
    """An extension that serves no app yet."""
    return FlagsmithRealtime()


@pytest.fixture
def offline_app(extension: FlagsmithRealtime, tmp_path: Path) -> Flask:
    """An app that serves the recorded document, without a network."""
    return make_offline_app(extension, tmp_path, recorded_document())


@pytest.fixture
def flagsmith() -> Iterator[MisbehavingFlagsmith]:
    """A Flagsmith that fails in the ways that a test sets; until then it works."""
    with MisbehavingFlagsmith() as running:
        yield running


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test's own."""
    server = RedisServer(tmp_path).start()
    yield server
    server.close()


@pytest.fixture
def serve(emulator: Emulator) -> Iterator[Serve]:
    """Starts servers whose app follows the emulator. Settings are given without their prefix."""
    served: list[Served] = []

    def start(
        command: list[str], environment: Mapping[str, str] | None = None, **settings: Any
    ) -> Served:
        environment = {**environment_of(emulator.config), **(environment or {})}
        environment |= {f"FLASK_FLAGSMITH_{name}": str(value) for name, value in settings.items()}
        served.append(Served(command, environment))
        return served[-1]

    yield start
    for process in served:
        process.kill()
