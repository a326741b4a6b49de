"""Apps that are dropped without a stop, as test suites do: their threads end."""

from __future__ import annotations

import gc
import os
import threading

from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, flags
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.waiting import eventually


def use(emulator: Emulator) -> None:
    app = Flask("dropped")
    app.config.update(emulator.config)
    FlagsmithRealtime(app)
    with app.app_context():
        assert flags["banner_text"]


def engine_threads() -> int:
    names = ("flagsmith-refresher", "flagsmith-listener", "flagsmith-dispatcher")
    return sum(thread.name in names for thread in threading.enumerate())


def test_threads_and_sockets_of_a_dropped_app_are_freed(emulator: Emulator) -> None:
    use(emulator)
    gc.collect()
    eventually(lambda: not engine_threads())
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        use(emulator)

    def are_gone() -> bool:
        gc.collect()
        return not engine_threads() and len(os.listdir("/proc/self/fd")) <= before + 2

    eventually(are_gone, lambda: [thread.name for thread in threading.enumerate()])
