"""Which events a browser gets, and which it does not need."""

from __future__ import annotations

import json

import pytest

from flask_flagsmith_realtime.browser.events import (
    HEARTBEAT_SECONDS,
    REPEAT_SECONDS,
    Events,
    RepeatedEvents,
)


def epochs(text: str | None) -> float | str | None:
    """The epoch of an event; "nothing" if there is none."""
    if text is None:
        return "nothing"
    fields = dict(line.split(": ", 1) for line in text.strip().splitlines())
    assert fields["event"] == "environment_updated"
    assert text.endswith("\n\n")
    epoch: float | None = json.loads(fields["data"])["updated_at"]
    assert fields.get("id") == (None if epoch is None else repr(epoch))
    return epoch


@pytest.mark.parametrize(
    ("known", "served", "event"),
    [
        (None, 5.5, 5.5),
        (4.0, 5.5, 5.5),
        (5.5, 5.5, "nothing"),
        (6.0, 5.5, "nothing"),
        (None, None, None),
        (5.5, None, "nothing"),
    ],
)
def test_the_first_event_is_news_only(
    known: float | None, served: float | None, event: float | str | None
) -> None:
    assert epochs(Events(known).begin(served)) == event


def test_a_newer_epoch_is_an_event() -> None:
    events = Events(None)
    events.begin(1.0)
    assert epochs(events.changed(2.0)) == 2.0
    assert epochs(events.changed(3.0)) == 3.0


def test_what_the_browser_knows_from_another_process_is_no_event() -> None:
    events = Events(3.0)
    events.begin(1.0)
    assert epochs(events.changed(2.0)) == "nothing"
    assert epochs(events.changed(3.0)) == "nothing"
    assert epochs(events.changed(4.0)) == 4.0


def test_a_change_without_a_newer_epoch_is_an_event_without_an_epoch() -> None:
    events = Events(2.0)
    events.begin(2.0)
    assert epochs(events.changed(2.0)) is None
    assert epochs(events.changed(1.0)) is None
    assert epochs(events.changed(None)) is None
    assert epochs(events.changed(3.0)) == 3.0


def test_the_first_snapshot_of_a_process_is_an_event() -> None:
    events = Events(None)
    events.begin(None)
    assert epochs(events.changed(2.0)) == 2.0


def test_quiet_times_have_comments() -> None:
    events = Events(None)
    events.begin(1.0)
    assert events.quiet().startswith(":")
    assert events.next_delay() == HEARTBEAT_SECONDS


def test_the_sdk_gets_the_last_event_again() -> None:
    events = RepeatedEvents(1.0)
    assert events.begin(1.0) is None
    assert events.quiet().startswith(":")
    assert events.changed(2.0) == events.quiet()
    delays = [events.next_delay() for _ in range(len(REPEAT_SECONDS) + 1)]
    assert delays == [*REPEAT_SECONDS, HEARTBEAT_SECONDS]
    events.changed(2.0)
    assert epochs(events.quiet()) == 2.0
    events.changed(3.0)
    assert epochs(events.quiet()) == 3.0
    assert events.next_delay() == REPEAT_SECONDS[0]
