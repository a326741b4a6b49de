"""The wheel and the sdist: built from a copy of the tree, installed into an empty environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from flask_flagsmith_realtime import __version__
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

PACKAGE = "flask_flagsmith_realtime"
NOT_COPIED = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "_build", "__pycache__")

#: The packages of the extras.
EXTRAS = {"flask_debugtoolbar", "openfeature", "opentelemetry", "prometheus_client", "redis"}
EXTRAS |= {"sentry_sdk"}

#: Imports all modules except those that need an extra.
IMPORT_ALL = f"""
EXTRAS = {EXTRAS}
import importlib, pkgutil, {PACKAGE}

for module in pkgutil.walk_packages({PACKAGE}.__path__, "{PACKAGE}."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        assert error.name in EXTRAS, error
print({PACKAGE}.__version__)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an sdist and the wheel that was built from it."""
    path = tmp_path_factory.mktemp("packages")
    shutil.copytree(ROOT, path / "tree", ignore=NOT_COPIED)
    # Without isolation: what builds is what is installed, and nothing is downloaded.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(path), "tree"]
    made = subprocess.run(command, cwd=path, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return path


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    [path] = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with only the wheel and its dependencies."""
    path = tmp_path_factory.mktemp("environment")
    venv.create(path, with_pip=False)
    python = path / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        asked_for = re.findall(r"^Requires-Dist: (.+)$", archive.read(metadata).decode(), re.M)
    [site] = path.glob("lib/python*/site-packages")
    for requirement in asked_for:
        make_visible(Requirement(requirement), site)
    subprocess.run([*pip, "install", "-q", "--no-index", "--no-deps", str(wheel)], check=True)
    return python


def make_visible(requirement: Requirement, site: Path) -> None:
    """Make an installed distribution and its dependencies visible in another environment."""
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return
    installed = distribution(requirement.name)
    here = Path(sysconfig.get_path("purelib"))
    tops = {Path(file).parts[0] for file in installed.files or () if Path(file).parts[0] != ".."}
    news = [top for top in tops if not os.path.lexists(site / top) and top != "__pycache__"]
    for top in news:
        site.joinpath(top).symlink_to(here / top)
    if news:
        for further in installed.requires or ():
            make_visible(Requirement(further), site)


def test_the_wheel_has_all_modules(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (ROOT / PACKAGE).rglob("*")
    there = {
        str(path.relative_to(ROOT))
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == there | {"pytest_flask_flagsmith_realtime.py"}
    assert f"{PACKAGE}/py.typed" in packed
    assert f"{PACKAGE}/emulator/sample.json" in packed


def test_the_links_of_the_description_need_no_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        description = archive.read(metadata).decode()
    targets = re.findall(r"\]\(([^)]+)\)", description)
    assert "https://flask-flagsmith-realtime.readthedocs.io/page/quickstart.html" in targets
    assert [target for target in targets if not target.startswith("https://")] == []


def test_the_sdist_has_tests_and_documentation(built: Path) -> None:
    [path] = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert packed >= {
        *("LICENSE", "README.md", "CHANGES.rst", "CONTRIBUTING.md", "Makefile", "pyproject.toml"),
        *("docs/index.rst", "docs/_static/threads.svg", "example_app/templates/home.html"),
        *("tests/conftest.py", "tests/recordings/flagsmith-2.68-exchanges.json"),
        f"{PACKAGE}/emulator/page/templates/page.html",
    }
    assert [name for name in packed if "__pycache__" in name or "_build" in name] == []


def test_the_declared_dependencies_are_sufficient(python: Path, tmp_path: Path) -> None:
    assert run(python, tmp_path, "-W", "error", "-c", IMPORT_ALL).strip() == "0.1.0"


def test_installed_commands_are_found(python: Path, tmp_path: Path) -> None:
    assert "doctor" in run(python, tmp_path, "-m", "flask", "flagsmith", "--help")
    assert "--state" in run(python, tmp_path, "-m", f"{PACKAGE}.emulator", "--help")


def test_the_installed_emulator_serves_its_page(python: Path, tmp_path: Path) -> None:
    program = (
        "import urllib.request as r\n"
        f"from {PACKAGE}.emulator import Emulator\n"
        "with Emulator() as e:\n"
        "    print(r.urlopen(e.url).read().decode(), r.urlopen(f'{e.url}static/page.css').status)\n"
    )
    page = run(python, tmp_path, "-c", program)
    assert "banner_text" in page
    assert page.rstrip().endswith("200")


def test_the_workflow_compares_a_tag_with_the_version() -> None:
    workflow = ROOT.joinpath(".github", "workflows", "publish.yml").read_text()
    [command] = re.findall(r"run: (grep .+)", workflow)
    environ = {**os.environ, "GITHUB_REF_NAME": __version__}
    subprocess.run(["bash", "-c", command], cwd=ROOT, env=environ, check=True, capture_output=True)


def run(python: Path, directory: Path, *arguments: str) -> str:
    """Run Python outside of the source tree, and return its output."""
    environ = {n: v for n, v in os.environ.items() if not n.startswith(("PYTHON", "FLASK_"))}
    ran = subprocess.run(
        [python, *arguments], cwd=directory, env=environ, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
