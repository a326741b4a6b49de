"""The README: its code in a file, its commands in processes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.support.command_line import Directory, Running
from tests.support.paths import ROOT
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.slow

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the blocks of code of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_its_app_follows_a_local_flagsmith(tmp_path: Path) -> None:
    [source] = blocks("python")
    directory = Directory(tmp_path, source=source)
    with emulator() as flagsmith:
        page = flagsmith.out.find(lambda line: "Page" in line).split()[1]
        for _ in range(3):
            export = flagsmith.out.find(lambda line: "export" in line)
            directory.setenv(*export.removeprefix("  export ").split("=", 1))

        with directory.start("run", "--port", "0") as app:
            url = app.err.find(lambda line: "Running on" in line).split()[-1]
            assert requests.get(url, timeout=PATIENCE_SECONDS).text == "old"
            switch = {"feature": "new_checkout", "enabled": "on"}
            requests.post(f"{page}edit/switch", switch, timeout=PATIENCE_SECONDS).raise_for_status()
            assert app.out.find(lambda line: "new_checkout" in line) == "new_checkout is on"
            assert requests.get(url, timeout=PATIENCE_SECONDS).text == "new"


def test_its_app_is_as_short_as_it_looks() -> None:
    [source] = blocks("python")
    assert len([line for line in source.splitlines() if line]) <= 11


def emulator() -> Running:
    """Start the emulator with the command of the README."""
    [command] = re.findall(r"`python (-m \S+emulator)`", README)
    return Running(
        subprocess.Popen(
            [sys.executable, *command.split(), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
    )
