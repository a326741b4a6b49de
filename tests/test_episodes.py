"""One line for each cause, one for the recovery."""

from __future__ import annotations

import logging

import pytest

from flask_flagsmith_realtime.episodes import Episode


@pytest.fixture
def episode() -> Episode:
    return Episode(logging.getLogger("tests"), "thing", "It works again.")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_each_cause_is_said_once(episode: Episode, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        episode.trouble("Broken.")
        episode.trouble("On fire at 100 %s.")
    assert lines(caplog) == ["Broken.", "On fire at 100 %s."]


def test_the_recovery_is_said_once(episode: Episode, caplog: pytest.LogCaptureFixture) -> None:
    episode.over()
    episode.trouble("Broken.")
    episode.over()
    episode.over()
    episode.trouble("Broken.")
    assert lines(caplog) == ["Broken.", "It works again.", "Broken."]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_ever_new_causes_fall_silent(episode: Episode, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(1000):
        episode.trouble(f"Broken {number}.")
    assert len(lines(caplog)) == 16
