"""Platforms: the package, the emulator and the commands need nothing that POSIX alone has."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.servers import Serve

#: An app in the process of its emulator, from the start to the end of both.
FOLLOW = """
import pathlib, sys, threading, time
from flask import Flask
from flask_flagsmith_realtime import FlagsmithRealtime, flags, flags_changed
from flask_flagsmith_realtime.emulator import Emulator

with Emulator() as emulator:
    app = Flask("app")
    app.config.update(emulator.config, FLAGSMITH_SNAPSHOT_FILE=sys.argv[3])
    flagsmith = FlagsmithRealtime(app)
    changed = threading.Event()
    receive = lambda app, **_: changed.set()
    flags_changed.connect(receive, sender=app)
    with app.app_context():
        assert flags["banner_text"].value
    assert emulator.wait_for_streams(1)
    emulator.set_flag("banner_text", value="Hello")
    assert changed.wait(60)
    with app.app_context():
        print(flags["banner_text"].value)
    # The file is written after the signals.
    while "Hello" not in pathlib.Path(sys.argv[3]).read_text():
        time.sleep(0.01)
    flagsmith.stop(app)
print("done")
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.processes.without_posix", *arguments]


def test_an_app_and_an_emulator_run(serve: Serve, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot.json"
    program = serve(command("-c", FOLLOW, str(snapshot)))
    assert program.wait() == 0, program.output
    assert program.output == "Hello\ndone\n"
    assert "Hello" in snapshot.read_text()


def test_the_development_server_runs_until_ctrl_c(serve: Serve, emulator: Emulator) -> None:
    emulator.set_flag("banner_text", value="Hello")
    server = serve(command("flask", "--app", "tests.support.served", "run", "--port", "0"))
    assert server.get()["banner"] == "Hello"
    server.process.send_signal(signal.SIGINT)
    assert server.wait() == 0
    assert "Traceback" not in server.output


def test_the_emulator_runs_until_ctrl_c(serve: Serve) -> None:
    program = serve(command("flask_flagsmith_realtime.emulator", "--port", "0"))
    program.wait_for_output("Ctrl-C ends")
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0
    assert "Traceback" not in program.output


def test_commands_run(serve: Serve, emulator: Emulator) -> None:
    flagsmith = ["flask", "--app", "tests.support.served", "flagsmith"]
    listed = serve(command(*flagsmith, "list"))
    assert listed.wait() == 0, listed.output
    assert "banner_text" in listed.output
    examined = serve(command(*flagsmith, "doctor"))
    examined.wait()
    assert "Traceback" not in examined.output
    watching = serve(command(*flagsmith, "watch"))
    watching.wait_for_output("Watching")
    emulator.set_flag("banner_text", value="Hello")
    watching.wait_for_output("banner_text")
    watching.process.send_signal(signal.SIGINT)
    watching.wait()
    assert "Traceback" not in watching.output
