"""Fixtures of the doctor's tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor reads the server's configuration from the working directory."""
    monkeypatch.chdir(tmp_path)
