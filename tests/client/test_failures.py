"""Retry-After: seconds or a date, and everything that is neither."""

from __future__ import annotations

import pytest

from flask_flagsmith_realtime.client import Sockets, get_within_origin, make_session
from flask_flagsmith_realtime.client.failures import retry_after_seconds
from flask_flagsmith_realtime.config import read_config
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.waiting import PATIENCE_SECONDS

TIMEOUT = (PATIENCE_SECONDS, PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("7", 7, 7),
        (" 0 ", 0, 0),
        ("-1", None, None),
        ("soon", None, None),
        ("9" * 5000, None, None),
    ],
)
def test_retry_after_in_seconds(
    flagsmith: MisbehavingFlagsmith, text: str, least: float | None, most: float | None
) -> None:
    assert read_retry_after(flagsmith, text) == least == most


def test_retry_after_as_a_date(flagsmith: MisbehavingFlagsmith) -> None:
    seconds = read_retry_after(flagsmith, answers.date_in(3600))
    assert seconds is not None
    assert 3000 < seconds <= 3600
    assert read_retry_after(flagsmith, answers.date_in(-90)) == 0
    assert read_retry_after(flagsmith, "Fri, 31 Dec 999999999 23:59:59 GMT") is None


def read_retry_after(flagsmith: MisbehavingFlagsmith, text: str) -> float | None:
    flagsmith.flags.next(answers.too_many(text))
    with make_session(read_config(flagsmith.config), Sockets()) as session:
        url = f"{flagsmith.api_url}flags/"
        return retry_after_seconds(get_within_origin(session, url, {}, TIMEOUT))
