"""Fixtures of the tests that start servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.servers import Serve, Served, environment_of


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
