"""Flags, changes and the stream's life in words."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from flask_flagsmith_realtime import Flag, FlagChange, Snapshot
from flask_flagsmith_realtime.cli import wording
from flask_flagsmith_realtime.cli.watch import StreamStateDebouncer
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.model.changes import diff
from flask_flagsmith_realtime.model.snapshot import snapshot_of_document, snapshot_of_flags

Edit = Callable[[Emulator], object]


def words_of(edit: Edit, prepare: Edit = lambda emulator: None) -> dict[str, str]:
    """How the changes read that an edit of the sample environment makes."""
    emulator = Emulator()
    prepare(emulator)
    before = snapshot(emulator)
    edit(emulator)
    after = snapshot(emulator)
    return {
        name: wording.change(change, wording.targeting_changes(name, before, after))
        for name, change in diff(before, after).items()
    }


def snapshot(emulator: Emulator) -> Snapshot:
    return snapshot_of_document(emulator.document, emulator.epoch, time.time())


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda e: e.set_flag("new_checkout", enabled=True), "off → on"),
        (lambda e: e.set_flag("new_checkout", value=3), "no value → 3"),
        (lambda e: e.set_flag("new_checkout", enabled=True, value="3"), 'off → on, no value → "3"'),
        (lambda e: e.delete_flag("new_checkout"), "removed, was off"),
        (lambda e: e.override_segment("pro_customers", "new_checkout", enabled=True),
         "segment pro_customers: on"),
        (lambda e: e.override_identity("ann", "new_checkout", enabled=True), "identity ann: on"),
        (lambda e: [e.override_identity(str(n), "new_checkout", value=n) for n in range(4)],
         "overrides for 4 identities"),
        (lambda e: e.set_variants("new_checkout", {"a": 10, "b": 2.5}),
         'split now "a" 10 % / "b" 2.5 %'),
    ],
)  # fmt: skip
def test_changes_read_like_this(edit: Edit, words: str) -> None:
    assert words_of(edit) == {"new_checkout": words}


def test_a_new_feature_reads_like_this() -> None:
    added = words_of(lambda e: e.set_flag("brand_new", enabled=True, value="Hi"))
    assert added == {"brand_new": 'new: on, "Hi"'}


@pytest.mark.parametrize(
    ("feature", "edit", "words"),
    [
        ("beta_dashboard",
         lambda e: e.override_segment("pro_customers", "beta_dashboard", enabled=False),
         "segment pro_customers: on → off"),
        ("beta_dashboard", lambda e: e.delete_segment("pro_customers"),
         "segment pro_customers: override removed"),
        ("beta_dashboard",
         lambda e: e.set_segment("pro_customers", [], {"beta_dashboard": {"enabled": True}}),
         "segment pro_customers: other rules"),
        ("button_colour", lambda e: e.set_variants("button_colour", {}), "split removed"),
    ],
)  # fmt: skip
def test_changes_of_rules_that_were_there_read_like_this(
    feature: str, edit: Edit, words: str
) -> None:
    assert words_of(edit)[feature] == words


def test_identity_overrides_that_were_there_read_like_this() -> None:
    def prepare(emulator: Emulator) -> None:
        emulator.override_identity("ann", "new_checkout", enabled=True)
        emulator.override_identity("bob", "new_checkout", enabled=True)

    def edit(emulator: Emulator) -> None:
        emulator.override_identity("ann", "new_checkout", value=7)
        emulator.delete_identity_override("bob", "new_checkout")

    words = words_of(edit, prepare)["new_checkout"]
    assert words == "identity ann: no value → 7, identity bob: override removed"


def test_in_remote_evaluation_flagsmith_does_not_tell_more() -> None:
    before, after = (snapshot_of_flags([], 1.0, 1.0, "id") for _ in range(2))
    assert wording.targeting_changes("new_checkout", before, after) == []
    assert wording.targeting_changes("new_checkout", None, after) == []


def test_a_change_without_details_is_one_all_the_same() -> None:
    flag = Flag("new_checkout", True)
    targeting = FlagChange("new_checkout", flag, flag, targeting_changed=True)
    assert wording.change(targeting) == "changed for some identities"
    renewed = FlagChange("new_checkout", flag, Flag("new_checkout", True, feature_id=2))
    assert wording.change(renewed) == "made anew, with the same state"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (None, "Flagsmith"),
        ("STATIC", "environment"),
        ("DEFAULT", "environment, no segment"),
        ("SPLIT; weight=12.5", "split, 12.5 %"),
        ("SPLIT; weight=20.0", "split, 20 %"),
        ("TARGETING_MATCH; segment=beta", "segment beta"),
        ("TARGETING_MATCH; segment=identity_overrides", "identity override"),
        ("ERROR; code=CIRCULAR_DEPENDENCY", "ERROR; code=CIRCULAR_DEPENDENCY"),
    ],
)
def test_reasons_in_words(reason: str | None, words: str) -> None:
    assert wording.reason(Flag("new_checkout", reason=reason)) == words


def test_text_is_cut_by_columns_not_by_letters() -> None:
    assert wording.shorten("short", 5) == "short"
    assert wording.shorten("longer", 5) == "long…"
    assert wording.shorten("価格表示", 5) == "価格…"
    assert wording.shorten("e\u0301" * 5, 5) == "e\u0301" * 5
    assert wording.shorten("x" * 100_000, 5) == "xxxx…"


def test_nothing_steers_the_terminal() -> None:
    assert wording.plain("\x1b]0;title\x07 \x9b31m \u202e") == (
        "\\u001b]0;title\\u0007 \\u009b31m \\u202e"
    )


def test_the_streams_routine_is_no_news() -> None:
    life = StreamStateDebouncer(100.0, "flags are fetched every 60 s")
    opened = life.connected()
    assert opened is not None
    assert "is open" in opened.message
    life.disconnected("the server ended the connection", 130.0)
    assert life.due(130.5) is None
    assert life.connected() is None
    assert life.wait(131.0) is None


def test_a_stream_that_stays_away_is_told_once_and_its_return() -> None:
    life = StreamStateDebouncer(100.0, "flags are fetched every 60 s")
    assert life.due(101.0) is None
    life.disconnected("connection refused", 101.0)
    told = life.due(103.0)
    assert told is not None
    assert told.message == (
        "The stream is down (connection refused): flags are fetched every 60 s."
    )
    life.disconnected("connection refused", 104.0)
    assert life.wait(110.0) is None
    assert life.due(110.0) is None
    assert life.connected() is not None
