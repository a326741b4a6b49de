"""What all tests share: an emulator, apps that follow it, and signals that can be waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from blinker import NamedSignal
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime
from flask_flagsmith_realtime.current import EXTENSION
from flask_flagsmith_realtime.emulator import Emulator

#: Longer than anything here takes on a busy machine; nothing waits for it to pass.
PATIENCE_SECONDS = 60.0


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A local Flagsmith with the sample environment."""
    with Emulator() as running:
        yield running


MakeApp = Callable[..., Flask]


@pytest.fixture
def make_app(emulator: Emulator) -> Iterator[MakeApp]:
    """Makes apps that follow the emulator. Settings are given without their prefix."""
    apps: list[Flask] = []

    def make(extension: FlagsmithRealtime | None = None, **settings: Any) -> Flask:
        app = Flask(f"app_{len(apps)}")
        app.config.update(emulator.config)
        app.config.update({f"FLAGSMITH_{name}": value for name, value in settings.items()})
        (extension or FlagsmithRealtime()).init_app(app)
        apps.append(app)
        return app

    yield make
    for app in apps:
        app.extensions[EXTENSION].realtime.stop()


class Received:
    """The signals of one kind that were sent so far, and a way to wait for the next."""

    def __init__(self, signal: NamedSignal, app: Flask) -> None:
        self.signal = signal
        self.all: list[dict[str, Any]] = []
        self._arrived = threading.Condition()
        signal.connect(self._receive, sender=app)

    def _receive(self, app: Flask, **content: Any) -> None:
        with self._arrived:
            self.all.append(content)
            self._arrived.notify_all()

    def wait(self, count: int = 1) -> dict[str, Any]:
        """Wait until so many have come, and return the last of them."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.all) >= count, PATIENCE_SECONDS):
                raise TimeoutError(f"{len(self.all)} of {count} {self.signal.name} came")
            return self.all[count - 1]

    def wait_for(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for one that meets a condition."""
        with self._arrived:
            found: list[dict[str, Any]] = []

            def look() -> bool:
                found[:] = [content for content in self.all if condition(content)]
                return bool(found)

            if not self._arrived.wait_for(look, PATIENCE_SECONDS):
                raise TimeoutError(f"no such {self.signal.name} among {len(self.all)}")
            return found[0]
