"""Fixtures of the doctor's tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands look for the app in the working directory."""
    monkeypatch.chdir(tmp_path)
