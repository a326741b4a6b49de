"""Descriptions of flags and their changes, which fit a terminal and cannot control it. Pure.

Names and values come from Flagsmith and can hold control characters; :func:`plain` escapes them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..model import Flag, FlagChange, FlagValue

COLUMNS = 80

_LONGEST_NAME = 30
_LONGEST_REASON = 26
_LONGEST_IN_A_CHANGE = 60

_REASONS = {
    None: "Flagsmith",
    "STATIC": "environment",
    "DEFAULT": "environment, no segment",
    "TARGETING_MATCH; segment=identity_overrides": "identity override",
}


def plain(text: str) -> str:
    """Escapes the characters that a terminal would interpret."""
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in text
    )


def shorten(text: str, width: int) -> str:
    """Cuts a text to a number of characters, with an ellipsis at the cut."""
    return text if len(text) <= width else text[: width - 1] + "…"


def state(enabled: bool) -> str:
    """Returns ``on`` or ``off``."""
    return "on" if enabled else "off"


def value(content: FlagValue) -> str:
    """Returns a feature's value: text in quotes, so that ``"25"`` and ``25`` differ."""
    return "-" if content is None else plain(json.dumps(content, ensure_ascii=False))


def reason(flag: Flag) -> str:
    """Returns the reason of a flag's state."""
    given = flag.reason
    if flag.is_default:
        return "default"
    if given is None or given in _REASONS:
        return _REASONS[given]
    kind, _, detail = given.partition("=")
    if kind == "TARGETING_MATCH; segment":
        return f"segment {plain(detail)}"
    if kind == "SPLIT; weight":
        return f"split, {detail.removesuffix('.0')} %"
    return plain(given)


def table(flags: Sequence[Flag]) -> str:
    """Lays out flags as a table of 80 columns. The values have the room that is left."""
    rows = [("FEATURE", "STATE", "VALUE", "WHY")]
    rows += [(plain(f.feature_name), state(f.enabled), value(f.value), reason(f)) for f in flags]
    names, states, values, reasons = (max(map(len, column)) for column in zip(*rows, strict=True))
    names, reasons = min(names, _LONGEST_NAME), min(reasons, _LONGEST_REASON)
    values = min(values, COLUMNS - names - states - reasons - 3 * len("  "))
    widths = names, states, values, reasons
    return "\n".join(
        "  ".join(
            shorten(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def change(of: FlagChange) -> str:
    """Describes the change of one feature."""
    before, after = of.before, of.after
    if before is None and after is not None:
        return f"new: {_state_and_value(after)}"
    if before is None or after is None:
        return f"removed, was {_state_and_value(before)}" if before is not None else "removed"
    parts = []
    if before.enabled != after.enabled:
        parts.append(f"{state(before.enabled)} → {state(after.enabled)}")
    # As text, since 1 == True in Python.
    if value(before.value) != value(after.value):
        parts.append(f"{_short_value(before)} → {_short_value(after)}")
    if of.targeting_changed:
        parts.append("changed for some identities")
    return ", ".join(parts) or "created again, in the same state"


def _state_and_value(flag: Flag) -> str:
    on = state(flag.enabled)
    return on if flag.value is None else f"{on}, {_short_value(flag)}"


def _short_value(flag: Flag) -> str:
    return "no value" if flag.value is None else shorten(value(flag.value), _LONGEST_IN_A_CHANGE)
