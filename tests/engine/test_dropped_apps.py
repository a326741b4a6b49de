"""Apps that are dropped without a stop, as test suites do: their threads end."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.waiting import PATIENCE_SECONDS

# A process of its own: threads and descriptors of other tests must not count.
_PROGRAM = """
import gc, json, os, sys, threading, time
from flask import Flask
from flask_flagsmith_realtime import FlagsmithRealtime, flags

def use():
    app = Flask("dropped")
    app.config.update(json.loads(sys.argv[1]), FLAGSMITH_STARTUP_TIMEOUT_SECONDS=float(sys.argv[2]))
    FlagsmithRealtime(app)
    with app.app_context():
        assert flags["banner_text"]

def left():
    gc.collect()
    threads = [thread.name for thread in threading.enumerate() if "flagsmith" in thread.name]
    return threads, len(os.listdir("/proc/self/fd"))

def wait_until(condition):
    deadline = time.monotonic() + float(sys.argv[2])
    while not condition():
        assert time.monotonic() < deadline, left()
        time.sleep(0.05)

use()
wait_until(lambda: not left()[0])
_, descriptors = left()
for _ in range(20):
    use()
def is_all_freed():
    threads, open_now = left()
    return not threads and open_now <= descriptors

wait_until(is_all_freed)
"""


@pytest.mark.slow
def test_threads_and_sockets_of_a_dropped_app_are_freed(emulator: Emulator) -> None:
    patience = str(PATIENCE_SECONDS)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(emulator.config), patience],
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
