"""The doctor for an app that does not load: ``flask flagsmith doctor`` in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import Directory

pytestmark = pytest.mark.slow


def test_an_app_that_does_not_load_is_a_finding(tmp_path: Path) -> None:
    directory = Directory(tmp_path, {"FLAGSMITH_API_URL": "localhost:8000"})
    result = directory.flask("flagsmith", "doctor")
    assert result.returncode == 1
    assert result.stdout.startswith("failed  settings  FLAGSMITH_API_URL must be")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def app(:\n", "the app does not load: SyntaxError: invalid syntax (app.py, line 1)"),
        (
            "import no_such_module\n",
            "the app does not load: ModuleNotFoundError: No module named 'no_such_module' "
            "(app.py, line 1)",
        ),
        ("x = 1\nraise ValueError('pass' + 'word')\n", "the app does not load: ValueError"),
        ("import sys\nsys.exit('password')\n", "the app does not load: SystemExit"),
        ("x = 1\n", "the app does not load: Failed to find Flask application or factory"),
    ],
    ids=["syntax", "import", "value", "exit", "no-app"],
)
def test_an_app_that_fails_for_another_reason_is_a_finding(
    tmp_path: Path, source: str, message: str
) -> None:
    result = Directory(tmp_path, source=source).flask("flagsmith", "doctor", "--json")
    assert result.returncode == 1
    (found,) = json.loads(result.stdout)
    assert (found["level"], found["check"]) == ("failed", "app")
    assert found["message"].startswith(message)
    assert "'flask routes' shows the whole error" in found["advice"]
    assert "password" not in result.stdout
    assert not result.stderr


def test_an_error_of_the_app_is_shown_with_its_place(tmp_path: Path) -> None:
    source = "def load():\n    raise KeyError('SECRET')\n\nload()\n"
    result = Directory(tmp_path, source=source).flask("flagsmith", "doctor")
    assert "the app does not load: KeyError (app.py, line 2)" in result.stdout
