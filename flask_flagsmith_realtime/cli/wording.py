"""Flags and their changes in words, for a person at a terminal. Pure.

Whatever comes from Flagsmith is shown without control characters: a feature's value must not
steer anybody's terminal.
"""

from __future__ import annotations

import json
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from ..model import Flag, FlagChange, FlagValue, Snapshot

COLUMNS = 80

_GAP = "  "
_LONGEST_NAME = 30
_LONGEST_REASON = 26
_LONGEST_IN_A_CHANGE = 60
_MOST_IDENTITIES = 3
_PARAGRAPH = COLUMNS - 18
_IDENTITY_OVERRIDE = "TARGETING_MATCH; segment=identity_overrides"
_SEGMENT = "TARGETING_MATCH; segment="
_SPLIT = "SPLIT; weight="

#: Whether a feature is on, and its value.
_State = tuple[bool, FlagValue]


def plain(text: str) -> str:
    """Text without characters that a terminal would obey."""
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in text
    )


def shorten(text: str, width: int) -> str:
    """Cut a text to so many columns, with an ellipsis where something is missing."""
    # Letters with marks on them are several characters in one column.
    head = text[: width * 4]
    if head == text and _width(head) <= width:
        return text
    while head and _width(head) > width - 1:
        head = head[:-1]
    return head + "…"


def state(flag: Flag) -> str:
    """Whether a feature is on."""
    return "on" if flag.enabled else "off"


def value(content: FlagValue) -> str:
    """A feature's value: text in quotes, so that ``"25"`` and ``25`` differ; a dash for none."""
    return "-" if content is None else plain(json.dumps(content, ensure_ascii=False))


def reason(flag: Flag) -> str:
    """Why a flag is what it is."""
    given = flag.reason
    if flag.is_default:
        return "default"
    if given is None:
        return "Flagsmith"
    if given == "STATIC":
        return "environment"
    if given == "DEFAULT":
        return "environment, no segment"
    if given == _IDENTITY_OVERRIDE:
        return "identity override"
    if given.startswith(_SEGMENT):
        return f"segment {plain(given.removeprefix(_SEGMENT))}"
    if given.startswith(_SPLIT):
        return f"split, {given.removeprefix(_SPLIT).removesuffix('.0')} %"
    return plain(given)


def table(flags: Sequence[Flag]) -> str:
    """Flags as a table that fits 80 columns."""
    rows = [("FEATURE", "STATE", "VALUE", "WHY")]
    rows += [(plain(f.feature_name), state(f), value(f.value), reason(f)) for f in flags]
    names = min(_LONGEST_NAME, max(_width(row[0]) for row in rows))
    states = len("STATE")
    reasons = min(_LONGEST_REASON, max(_width(row[3]) for row in rows))
    room = COLUMNS - names - states - reasons - 3 * len(_GAP)
    values = min(room, max(_width(row[2]) for row in rows))
    lines = []
    for row in rows:
        cells = [
            _fit(text, width)
            for text, width in zip(row, (names, states, values, reasons), strict=True)
        ]
        lines.append(_GAP.join(cells).rstrip())
    return "\n".join(lines)


def paragraph(title: str, text: str, hint: str | None = None) -> list[str]:
    """A titled text and what to do about it, as lines that leave room for a word in front."""
    lines = [
        line
        for part in (text, hint or "")
        for line in textwrap.wrap(
            plain(part), _PARAGRAPH, break_long_words=False, break_on_hyphens=False
        )
    ]
    return [f"{title if number == 0 else '':<10}{line}" for number, line in enumerate(lines)]


def change(of: FlagChange, targeting: Sequence[str] = ()) -> str:
    """How one feature changed.

    :param targeting: what changed for single identities, see :func:`targeting_changes`.
    """
    before, after = of.before, of.after
    parts: list[str] = []
    if before is None and after is not None:
        parts.append(f"new: {_state_and_value(after.enabled, after.value)}")
    elif before is not None and after is None:
        parts.append(f"removed, was {_state_and_value(before.enabled, before.value)}")
    elif before is not None and after is not None:
        parts += _differences((before.enabled, before.value), (after.enabled, after.value))
    if of.targeting_changed and after is not None:
        parts += targeting or ["changed for some identities"]
    return ", ".join(parts) or "made anew, with the same state"


def targeting_changes(name: str, before: Snapshot | None, after: Snapshot) -> list[str]:
    """What of a feature's segments, overrides for identities and splits changed.

    Empty in remote evaluation, where Flagsmith does not tell.
    """
    if before is None or before.document is None or after.document is None:
        return []
    was, now = before.document, after.document
    parts = _segment_changes(_segments(was, name), _segments(now, name))
    parts += _identity_changes(_identities(was, name), _identities(now, name))
    split = _split(now, name)
    if split != _split(was, name):
        parts.append(f"split now {split}" if split else "split removed")
    return parts


def _segment_changes(
    was: Mapping[str, dict[str, Any]], now: Mapping[str, dict[str, Any]]
) -> list[str]:
    parts = []
    for segment in sorted({**was, **now}):
        title = f"segment {plain(segment)}"
        old, new = was.get(segment), now.get(segment)
        if old is None and new is not None:
            parts.append(f"{title}: {_state_and_value(*new['state'])}")
        elif new is None and old is not None:
            parts.append(f"{title}: override removed")
        elif old is not None and new is not None:
            differences = _differences(old["state"], new["state"])
            if old["rules"] != new["rules"]:
                differences.append("other rules")
            if old["rest"] != new["rest"]:
                differences.append("other priority or split")
            if differences:
                parts.append(f"{title}: {', '.join(differences)}")
    return parts


def _identity_changes(was: Mapping[str, _State], now: Mapping[str, _State]) -> list[str]:
    changed = sorted(who for who in {**was, **now} if was.get(who) != now.get(who))
    if len(changed) > _MOST_IDENTITIES:
        return [f"overrides for {len(changed)} identities"]
    parts = []
    for who in changed:
        title = f"identity {shorten(plain(who), _LONGEST_NAME)}"
        if who not in now:
            parts.append(f"{title}: override removed")
        elif who not in was:
            parts.append(f"{title}: {_state_and_value(*now[who])}")
        else:
            parts.append(f"{title}: {', '.join(_differences(was[who], now[who]))}")
    return parts


def _segments(document: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """The segments that override a feature, by name."""
    return {
        segment["name"]: {
            "state": _state(override),
            "rules": segment["rules"],
            "rest": (
                override.get("feature_segment"),
                override.get("multivariate_feature_state_values"),
            ),
        }
        for segment in document["project"]["segments"]
        for override in segment.get("feature_states") or ()
        if override["feature"]["name"] == name
    }


def _identities(document: Mapping[str, Any], name: str) -> dict[str, _State]:
    """The identities for which a feature is overridden."""
    return {
        identity["identifier"]: _state(override)
        for identity in document.get("identity_overrides") or ()
        for override in identity["identity_features"]
        if override["feature"]["name"] == name
    }


def _split(document: Mapping[str, Any], name: str) -> str:
    """A feature's percentage split in the environment, in words."""
    parts = [
        f"{_short_value(variant['multivariate_feature_option']['value'])} "
        f"{variant['percentage_allocation']:g} %"
        for feature_state in document["feature_states"]
        if feature_state["feature"]["name"] == name
        for variant in feature_state.get("multivariate_feature_state_values") or ()
    ]
    return " / ".join(parts)


def _state(feature_state: Mapping[str, Any]) -> _State:
    return feature_state["enabled"], feature_state["feature_state_value"]


def _differences(before: _State, after: _State) -> list[str]:
    parts = []
    if before[0] != after[0]:
        parts.append(f"{_on(before[0])} → {_on(after[0])}")
    if before[1] != after[1]:
        parts.append(f"{_short_value(before[1])} → {_short_value(after[1])}")
    return parts


def _state_and_value(enabled: bool, content: FlagValue) -> str:
    return _on(enabled) if content is None else f"{_on(enabled)}, {_short_value(content)}"


def _on(enabled: bool) -> str:
    return "on" if enabled else "off"


def _short_value(content: FlagValue) -> str:
    return "no value" if content is None else shorten(value(content), _LONGEST_IN_A_CHANGE)


def _fit(text: str, width: int) -> str:
    text = shorten(text, width)
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(
        0
        if unicodedata.combining(character)
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )
