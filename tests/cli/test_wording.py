"""Descriptions of flags and their changes."""

from __future__ import annotations

import pytest

from flask_flagsmith_realtime import Flag, FlagChange
from flask_flagsmith_realtime.cli import wording

OFF = Flag("new_checkout", False)


@pytest.mark.parametrize(
    ("before", "after", "targeting", "text"),
    [
        (OFF, Flag("new_checkout", True), False, "off → on"),
        (OFF, Flag("new_checkout", False, 3), False, "no value → 3"),
        (OFF, Flag("new_checkout", True, "3"), False, 'off → on, no value → "3"'),
        (Flag("new_checkout", True, 1), Flag("new_checkout", True, True), False, "1 → true"),
        (None, Flag("new_checkout", True, "Hi"), False, 'new: on, "Hi"'),
        (OFF, None, False, "removed, was off"),
        (OFF, OFF, True, "changed for some identities"),
        (OFF, Flag("new_checkout", True), True, "off → on, changed for some identities"),
        (OFF, Flag("new_checkout", False, feature_id=2), False, "created again, in the same state"),
    ],
)
def test_changes(before: Flag | None, after: Flag | None, targeting: bool, text: str) -> None:
    change = FlagChange("new_checkout", before, after, targeting_changed=targeting)
    assert wording.change(change) == text


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
def test_reasons(reason: str | None, words: str) -> None:
    assert wording.reason(Flag("new_checkout", reason=reason)) == words


def test_long_text_is_shortened() -> None:
    assert wording.shorten("short", 5) == "short"
    assert wording.shorten("longer", 5) == "long…"


def test_control_characters_are_escaped() -> None:
    assert wording.plain("\x1b]0;title\x07 \x9b31m \u202e") == (
        "\\u001b]0;title\\u0007 \\u009b31m \\u202e"
    )
