"""Flags, and the short forms of defaults."""

from __future__ import annotations

import copy
import pickle

import pytest

from flask_flagsmith_realtime import Flag
from flask_flagsmith_realtime.model.flag import default_flag


def test_a_flag_is_truthy_only_when_enabled() -> None:
    assert Flag("a", enabled=True)
    assert not Flag("a", enabled=False, value="text")
    assert not Flag("a")


def test_values_of_different_types_make_different_flags() -> None:
    flags = [Flag("a", True, value) for value in (1, 1.0, True)]
    assert len(set(flags)) == 3
    assert flags[0] != flags[1] != flags[2] != flags[0]
    assert flags[0] == Flag("a", True, 1, reason="STATIC")
    assert hash(flags[0]) == hash(Flag("a", True, 1, reason="STATIC"))
    assert flags[0] != "a"


def test_equality_leaves_the_reason_out() -> None:
    assert Flag("a", True, reason="STATIC") == Flag("a", True, reason="DEFAULT")
    assert Flag("a", True) != Flag("a", False)
    assert Flag("a", value=1) != Flag("a", value=2)
    assert Flag("a", variant="control") != Flag("a")
    assert len({Flag("a", True), Flag("a", True, reason="STATIC")}) == 1


def test_a_flag_can_be_copied_and_sent_to_another_process() -> None:
    flag = Flag("a", True, "text", 5, "control", reason="SPLIT; weight=30")
    assert pickle.loads(pickle.dumps(flag)) == flag
    assert copy.deepcopy(flag) == flag


@pytest.mark.parametrize(
    ("setting", "enabled", "value"),
    [
        (True, True, None),
        (False, False, None),
        ("text", True, "text"),
        ("", True, ""),
        (5, True, 5),
        (0, True, 0),
        (1.5, True, 1.5),
        ({"enabled": False, "value": "text"}, False, "text"),
        ({"enabled": True}, True, None),
        ({"value": 5}, True, 5),
        (Flag("other", False, "text", 5, "control", reason="STATIC"), False, "text"),
    ],
)
def test_short_forms_of_a_default(setting: object, enabled: bool, value: object) -> None:
    assert default_flag("a", setting) == Flag("a", enabled, value, is_default=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "setting",
    [
        None,
        [],
        {},
        object(),
        {"enabled": "yes"},
        {"enabled": 1},
        {"value": []},
        {"enabled": True, "values": 5},
    ],
)
def test_other_forms_are_refused(setting: object) -> None:
    with pytest.raises(TypeError, match=rf"'a' is {type(setting).__name__}; give True, False"):
        default_flag("a", setting)
