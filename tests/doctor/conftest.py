"""Fixtures of the doctor's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from flask_flagsmith_realtime.doctor import network
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def _temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands look for the app in the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _patient_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A greeting may come late."""
    monkeypatch.setattr(network.greet, "__defaults__", (PATIENCE_SECONDS,))
