"""Apps: what they read, and their signals, which tests can wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from blinker import NamedSignal
from flask import Flask

from flask_flagsmith_realtime import Flag, flags
from tests.support.waiting import PATIENCE_SECONDS

MakeApp = Callable[..., Flask]


def read_flag(app: Flask, name: str) -> Flag:
    """Return a flag as a new request reads it."""
    with app.app_context():
        return flags[name]


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
