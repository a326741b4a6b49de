"""Forks without a server: parent and child each follow on their own connections."""

from __future__ import annotations

import sys

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.servers import Serve


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(serve: Serve, emulator: Emulator, method: str) -> None:
    emulator.set_flag("banner_text", value="before")
    program = serve([sys.executable, "-m", "tests.processes.children", method])
    program.wait_for_output("parent sees before")
    program.wait_for_output("child sees before")
    emulator.set_flag("banner_text", value="after")
    program.wait_for_output("parent sees after")
    program.wait_for_output("child sees after")
    assert program.wait() == 0
    assert "Traceback" not in program.output
    assert emulator.wait_for_streams(0)


def test_parent_follows_after_its_child_has_ended(serve: Serve, emulator: Emulator) -> None:
    program = serve([sys.executable, "-m", "tests.processes.children", "short-lived"])
    program.wait_for_output("child has ended")
    emulator.set_flag("banner_text", value="after")
    program.wait_for_output("parent sees after")
    assert program.wait() == 0
    assert "Traceback" not in program.output
