"""Commands in processes of their own: broken apps, terminals, autostart."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.command_line import Directory

pytestmark = pytest.mark.slow


def test_a_real_command_starts_nothing_though_autostart_is_on(
    tmp_path: Path, emulator: Emulator
) -> None:
    directory = Directory(tmp_path, emulator.config)
    result = directory.flask("flagsmith", "list")
    assert "banner_text" in result.stdout
    assert "\x1b" not in result.stdout
    assert emulator.calls == {"environment-document/": 1}
    assert emulator.streams_opened == 0


def test_flask_routes_touches_no_network(tmp_path: Path, emulator: Emulator) -> None:
    result = Directory(tmp_path, emulator.config).flask("routes")
    assert "home" in result.stdout
    assert not emulator.calls
    assert emulator.streams_opened == 0


def test_emulator_runs_without_an_app_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    (tmp_path / "app.py").unlink()
    with directory.start("flagsmith", "emulator", "--port", "0") as emulator:
        page = emulator.out.find(lambda line: line.strip().startswith("Page")).split()[-1]
        with urllib.request.urlopen(page) as answer:
            assert answer.status == 200
        assert emulator.interrupt() == 0


def test_the_app_imports_no_command() -> None:
    source = """
import sys
import flask_flagsmith_realtime
package = "flask_flagsmith_realtime."
print([name for name in sys.modules if name.startswith((package + "cli.", package + "doctor"))])
"""
    process = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert process.stdout == "[]\n"


def test_an_app_without_the_extension_is_an_error(tmp_path: Path) -> None:
    source = 'from flask import Flask\napp = Flask("shop")\n'
    result = Directory(tmp_path, source=source).flask("flagsmith", "list")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: The app 'shop' has no flags")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [("list",), ("get", "new_checkout"), ("watch",)])
def test_a_missing_app_ends_with_status_1(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = Directory(tmp_path).flask("--app", "nope", "flagsmith", *command)
    assert result.returncode == 1
    assert result.stderr == "Error: Could not import 'nope'.\n"


def test_characters_that_a_terminal_lacks_are_escaped(tmp_path: Path, emulator: Emulator) -> None:
    emulator.set_flag("banner_text", value="价 →")
    directory = Directory(tmp_path, emulator.config)
    directory.setenv("PYTHONIOENCODING", "iso-8859-1")
    result = directory.flask("flagsmith", "get", "banner_text")
    assert result.returncode == 0
    assert result.stdout.startswith('banner_text  on  "\\u4ef7 \\u2192"')


def test_colours_are_for_terminals_only(tmp_path: Path, emulator: Emulator) -> None:
    directory = Directory(tmp_path, emulator.config)
    assert "\x1b" not in directory.flask("flagsmith", "doctor").stdout
    assert "\x1b[32mok" in _on_a_terminal(directory, "flagsmith", "doctor")


def _on_a_terminal(directory: Directory, *arguments: str) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", *arguments],
        cwd=directory.path,
        env=directory.environ,
        stdout=theirs,
    )
    os.close(theirs)
    printed = b""
    try:
        while part := os.read(ours, 4096):
            printed += part
    except OSError:
        # Linux raises at the end of a terminal.
        pass
    finally:
        os.close(ours)
        process.wait()
    return printed.decode()
