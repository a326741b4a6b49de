"""One line for each cause, one for the recovery."""

from __future__ import annotations

import logging

import pytest

from flask_flagsmith_realtime.logs import OncePerCause, SafeLogger


@pytest.fixture
def episode() -> OncePerCause:
    return OncePerCause(SafeLogger(logging.getLogger("tests")), "thing", "It works again.")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_each_cause_is_said_once(episode: OncePerCause, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        episode.problem("Broken.")
        episode.problem("On fire at 100 %s.")
    assert lines(caplog) == ["Broken.", "On fire at 100 %s."]


def test_the_recovery_is_said_once(episode: OncePerCause, caplog: pytest.LogCaptureFixture) -> None:
    episode.recovered()
    episode.problem("Broken.")
    episode.recovered()
    episode.recovered()
    episode.problem("Broken.")
    assert lines(caplog) == ["Broken.", "It works again.", "Broken."]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_ever_new_causes_fall_silent(
    episode: OncePerCause, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1000):
        episode.problem(f"Broken {number}.")
    assert len(lines(caplog)) == 16
