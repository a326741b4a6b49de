"""The development server and commands: one stream with the reloader, no network for a command."""

from __future__ import annotations

import sys

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.servers import Serve

FLASK = [sys.executable, "-m", "flask", "--app", "tests.support.served:create_app"]


@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["", "debug"])
def test_flask_run_listens_once(serve: Serve, emulator: Emulator, debug: list[str]) -> None:
    server = serve([*FLASK, "run", "--port", "0", *debug])
    assert emulator.wait_for_streams(1), server.output
    emulator.set_flag("banner_text", value="after")
    server.wait_for_all(1, lambda answer: answer["banner"] == "after")
    assert emulator.streams_opened == 1


def test_script_with_the_reloader_listens_once(serve: Serve, emulator: Emulator) -> None:
    server = serve([sys.executable, "tests/processes/script.py", "debug"])
    assert emulator.wait_for_streams(1), server.output
    emulator.set_flag("banner_text", value="after")
    server.wait_for_all(1, lambda answer: answer["banner"] == "after")
    assert emulator.streams_opened == 1


def test_script_without_the_reloader_listens_from_its_first_read(
    serve: Serve, emulator: Emulator
) -> None:
    server = serve([sys.executable, "tests/processes/script.py"])
    server.wait_for_all(1, lambda answer: bool(answer["banner"]))
    assert emulator.wait_for_streams(1), server.output


@pytest.mark.parametrize("command", [["routes"], ["shell", "--help"], ["--help"]])
def test_command_that_reads_no_flag_touches_no_network(
    serve: Serve, emulator: Emulator, command: list[str]
) -> None:
    server = serve([*FLASK, *command])
    assert server.wait() == 0, server.output
    assert not emulator.calls
    assert emulator.streams_opened == 0


def test_command_that_reads_a_flag_gets_it(serve: Serve, emulator: Emulator) -> None:
    emulator.set_flag("banner_text", value="for commands too")
    server = serve([*FLASK, "show-banner"])
    assert server.wait() == 0, server.output
    assert "for commands too" in server.output
