"""Fixtures of the tests of reports."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _patient(patient_reports: None) -> None:
    """A stop posts what there is, however long it takes."""
