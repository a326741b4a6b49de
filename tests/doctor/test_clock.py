"""The doctor's comparison of this machine's clock with the API's."""

from __future__ import annotations

import pytest

from flask_flagsmith_realtime import Snapshot
from flask_flagsmith_realtime.doctor.verdicts import diagnose_clock


@pytest.mark.parametrize(
    ("server_date", "level", "words"),
    [
        (1000.0, "ok", "agrees"),
        (990.0, "ok", "agrees"),
        (1090.0, "warning", "91 s behind the API's"),
        (910.0, "warning", "89 s ahead of the API's"),
        (None, "warning", "does not send its time"),
    ],
)
def test_the_clock_is_compared_with_the_date_of_the_answer(
    server_date: float | None, level: str, words: str
) -> None:
    found = diagnose_clock(Snapshot({}, None, 1000.0, "id", server_date=server_date), 2.0)
    assert found.level == level
    assert words in found.message
