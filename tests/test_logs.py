"""``OncePerCause``: one line for each cause, and one for the recovery."""

from __future__ import annotations

import logging

import pytest

from flask_flagsmith_realtime.logs import OncePerCause, SafeLogger


@pytest.fixture
def problems() -> OncePerCause:
    return OncePerCause(SafeLogger(logging.getLogger("tests")), "thing", "It works again.")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_each_cause_is_logged_once(
    problems: OncePerCause, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        problems.problem("Broken.")
        problems.problem("On fire at 100 %s.")
    assert lines(caplog) == ["Broken.", "On fire at 100 %s."]


def test_the_recovery_is_logged_once(
    problems: OncePerCause, caplog: pytest.LogCaptureFixture
) -> None:
    problems.recovered()
    problems.problem("Broken.")
    problems.recovered()
    problems.recovered()
    problems.problem("Broken.")
    assert lines(caplog) == ["Broken.", "It works again.", "Broken."]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_the_number_of_causes_is_bounded(
    problems: OncePerCause, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1000):
        problems.problem(f"Broken {number}.")
    assert len(lines(caplog)) == 16
