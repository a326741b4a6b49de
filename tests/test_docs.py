"""The documentation: its examples run, its names exist, and it describes all public names."""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from urllib.parse import urljoin

import click
import pytest
from sphinx.util.inventory import InventoryFile

import flask_flagsmith_realtime
from flask_flagsmith_realtime import emulator, testing
from flask_flagsmith_realtime.cli import flagsmith
from flask_flagsmith_realtime.config.settings import PREFIX, Config
from flask_flagsmith_realtime.emulator.command import introduction
from tests.support.documentation import Page
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.rst"))
TEXTS = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGES.rst"]

_COMMAND_LINE = re.compile(r"\$ (?:if )?flask (?:--app \S+ )?flagsmith (.+)")
COMMANDS = flagsmith.list_commands(click.Context(flagsmith))

_COMMAND = re.compile(r"flask flagsmith ([a-z]+(?:-[a-z]+)*)")


def name_of(path: Path) -> str:
    return path.stem


@pytest.mark.usefixtures("patient_reports")
@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_examples_run(path: Path) -> None:
    Page(path).run()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation as HTML. A reference without a target is an error."""
    path = tmp_path_factory.mktemp("docs")
    options = ["--quiet", "--fail-on-warning", "--keep-going"]
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(path)],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    return path


@pytest.fixture(scope="module")
def described(built: Path) -> dict[str, set[str]]:
    """The names that the built pages describe, by kind."""
    with built.joinpath("objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", urljoin)
    return {kind: set(names) for kind, names in inventory.items()}


def test_every_public_name_is_described(described: dict[str, set[str]]) -> None:
    names = {
        f"{module.__name__}.{name}"
        for module in (flask_flagsmith_realtime, emulator, testing)
        for name in module.__all__
    }
    found = set().union(*(names for kind, names in described.items() if kind.startswith("py:")))
    assert names - found == set()


def test_every_setting_is_described(described: dict[str, set[str]]) -> None:
    keys = {PREFIX + field.name.upper() for field in dataclasses.fields(Config)}
    assert described["std:confval"] == keys


def test_a_setting_shows_its_default_and_its_errors(built: Path) -> None:
    text = re.sub("<[^>]+>", "", built.joinpath("configuration.html").read_text())
    assert "FLAGSMITH_STRICT must be" in text
    assert "FLAGSMITH_REQUEST_TIMEOUT_SECONDS must be" in text
    assert re.search(r"FLAGSMITH_LIVE_REFRESH_INTERVAL_SECONDS.{0,40}Default:\s*300", text, re.S)


def test_quickstart_shows_what_the_emulator_prints() -> None:
    shown = DOCS.joinpath("quickstart.rst").read_text()
    with emulator.Emulator() as running:
        printed = introduction(running, None).replace(running.url, "http://127.0.0.1:5001/")
    assert textwrap.indent(printed, "    ").rstrip() in shown


def test_every_command_is_described() -> None:
    headings = re.findall(
        r"^([\w-]+)\n-+$", DOCS.joinpath("commands.rst").read_text(), re.MULTILINE
    )
    assert sorted(headings) == COMMANDS


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_named_commands_exist(path: Path) -> None:
    assert set(_COMMAND.findall(path.read_text())) <= set(COMMANDS)


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_command_lines_are_valid(path: Path) -> None:
    for line in _COMMAND_LINE.findall(path.read_text()):
        name, *arguments = shlex.split(re.split(r"[|;]", line)[0], comments=True)
        with click.Context(flagsmith) as parent:
            command = flagsmith.get_command(parent, name)
            assert command is not None
            command.make_context(name, arguments, parent)


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=name_of)
def test_links_within_the_repository_have_a_target(path: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", path.read_text())
    assert links
    assert [link for link in links if not ROOT.joinpath(link).exists()] == []


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_named_targets_of_make_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", ROOT.joinpath("Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|\$ )make ([a-z-]+)", path.read_text())) <= targets


def test_contributing_has_a_line_for_each_folder() -> None:
    named = set(re.findall(r"^\| `(\w+)/` \|", ROOT.joinpath("CONTRIBUTING.md").read_text(), re.M))
    package = ROOT / "flask_flagsmith_realtime"
    assert named == {path.parent.name for path in package.glob("*/__init__.py")}
