"""The log of an app whose engine logs in a thread of its own."""

from __future__ import annotations

import logging

import pytest

from flask_flagsmith_realtime import logs
from tests.support.waiting import PATIENCE_SECONDS


class WaitingLog(pytest.LogCaptureFixture):
    """The log, which is read once the lines of the engine's threads are in it."""

    @property
    def records(self) -> list[logging.LogRecord]:
        logs.flush(PATIENCE_SECONDS)
        return super().records

    @property
    def text(self) -> str:
        logs.flush(PATIENCE_SECONDS)
        return super().text


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the ``flagsmith_event`` of each line that has one, in order."""
    return [
        record.__dict__["flagsmith_event"]
        for record in caplog.records
        if "flagsmith_event" in record.__dict__
    ]
