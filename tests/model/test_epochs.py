"""Epochs out of events, documents and headers."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_flagsmith_realtime.model import epochs
from tests.support import recorded


@pytest.mark.parametrize(
    ("data", "epoch"),
    [
        ('{"updated_at": 1673546928.02806}', 1673546928.02806),
        ('{"updated_at": 1673546928}', 1673546928.0),
        ('{"updated_at": 3133690620000}', 3133690620.0),
        ('{"updated_at": 1673546928028.06}', 1673546928.02806),
        ('{"updated_at": "1673546928.02806"}', 1673546928.02806),
        ('{"updated_at": "1673546928028"}', 1673546928.028),
        ('{"updated_at": 0}', 0.0),
        ('{"updated_at": 1e9, "more": [1, {}]}', 1e9),
        ('{"updated_at": null}', None),
        ("{}", None),
    ],
)
def test_event(data: str, epoch: float | None) -> None:
    assert epochs.parse_event(data) == epoch


@pytest.mark.parametrize(
    "value",
    [
        "true",
        "false",
        "[1673546928]",
        '{"seconds": 1}',
        '""',
        '"soon"',
        '"2023-01-12T18:08:48Z"',
        "-1",
        "NaN",
        "Infinity",
        "-Infinity",
        '"nan"',
        '"inf"',
        "1e999",
        "1" * 400,
    ],
)
def test_event_with_a_wrong_epoch_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"an epoch is a|is not a JSON object"):
        epochs.parse_event(f'{{"updated_at": {value}}}')


@pytest.mark.parametrize(
    "data", ["", "ping", "[]", "1673546928", "null", '"x"', "{", "[" * 100_000, "1" * 5000]
)
def test_event_that_is_no_object_is_refused(data: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011, any reason will do
        epochs.parse_event(data)


@pytest.mark.slow
@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_any_event_gives_an_epoch_or_is_refused(content: object) -> None:
    for data in (content, json.dumps(content), json.dumps({"updated_at": content})):
        if isinstance(data, str):
            try:
                epoch = epochs.parse_event(data)
            except ValueError:
                continue
            assert epoch is None or (math.isfinite(epoch) and epoch >= 0)


@pytest.mark.parametrize(
    ("header", "epoch"),
    [
        ("1795478846.06334", 1795478846.06334),
        ("1795478846", 1795478846.0),
        (None, None),
        ("", None),
        ("yesterday", None),
        ("nan", None),
        ("1e999", None),
        ("1,5", None),
        ("-5", None),
    ],
)
def test_header(header: str | None, epoch: float | None) -> None:
    assert epochs.parse_epoch(header) == epoch


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("2026-11-24T00:07:26.063340+00:00", 1795478846.06334),
        ("2026-11-24T00:07:26.063340Z", 1795478846.06334),
        ("2026-11-24T00:07:26.063340", 1795478846.06334),
        ("2026-11-24T01:07:26.063340+01:00", 1795478846.06334),
        ("2026-11-24T00:07:26", 1795478846.0),
        ("soon", None),
        ("", None),
        (None, None),
        (1795478846, None),
        (["2026-11-24"], None),
    ],
)
def test_iso(text: object, epoch: float | None) -> None:
    assert epochs.parse_iso_epoch(text) == epoch


def test_header_and_document_of_one_answer_give_the_same_epoch() -> None:
    assert epochs.parse_iso_epoch(
        recorded.environment_document()["updated_at"]
    ) == epochs.parse_epoch(
        recorded.exchange("environment document")["response"]["headers"][
            "X-Flagsmith-Document-Updated-At"
        ]
    )


@given(st.datetimes(datetime(2015, 1, 1), datetime(2100, 1, 1)))
def test_one_moment_gives_one_epoch_however_it_is_written(moment: datetime) -> None:
    moment = moment.replace(tzinfo=timezone.utc)
    seconds = moment.timestamp()
    assert epochs.parse_event(json.dumps({"updated_at": seconds})) == seconds
    assert epochs.parse_epoch(str(seconds)) == seconds
    assert epochs.parse_iso_epoch(moment.isoformat()) == seconds
    milliseconds = int(seconds * 1000)
    assert epochs.parse_epoch_number(milliseconds) == milliseconds / 1000


@pytest.mark.parametrize(
    ("announced", "held", "may_hide"),
    [
        (100.0, 100.0, True),
        (100.0, 100.7, True),
        (100.0, 101.0, False),
        (100.0, 99.5, False),
        (100.5, 100.7, False),
    ],
)
def test_an_epoch_in_whole_seconds_may_hide_a_newer_one(
    announced: float, held: float, may_hide: bool
) -> None:
    assert epochs.may_hide_newer(announced, held) is may_hide
