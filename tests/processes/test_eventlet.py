"""eventlet: an app that it has patched is refused with a clear error, others are not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.paths import ROOT
from tests.support.servers import environment_of
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.slow

#: Flask-SocketIO's documentation has an app patch first, so that this is the usual order.
PATCHED = """
import eventlet
eventlet.monkey_patch()
from tests.support.served import create_app
create_app()
"""

IMPORTED = """
import eventlet
from tests.support.served import create_app
from flask_flagsmith_realtime import flags
with create_app().app_context():
    print(flags["banner_text"].value)
"""


def run(program: str, emulator: Emulator) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={
            **os.environ,
            **environment_of(emulator.config),
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_a_patched_process_is_refused(emulator: Emulator) -> None:
    refused = run(PATCHED, emulator)
    assert refused.returncode == 1
    last_line = refused.stderr.splitlines()[-1]
    assert "ConfigError: eventlet has patched this process" in last_line
    assert "--worker-class gthread or gevent" in last_line
    assert not emulator.calls


def test_a_process_that_only_imports_it_follows(emulator: Emulator) -> None:
    emulator.set_flag("banner_text", value="Hello")
    done = run(IMPORTED, emulator)
    assert done.stdout == "Hello\n", done.stderr
