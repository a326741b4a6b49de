"""The wording of changes and reasons. Pure functions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from flask_flagsmith_realtime import Flag, FlagChange

#: As many steps of one change are shown.
MOST_STEPS = 3


@dataclass(frozen=True)
class Step:
    """One part of a change."""

    what: str
    before: str
    after: str


def steps(change: FlagChange) -> list[Step]:
    """Return the parts of a change: the state, the value, or the members of a JSON value."""
    before, after = change.before, change.after
    if before is None or after is None:
        return [Step("feature", _existence(before), _existence(after))]
    found = []
    if before.enabled != after.enabled:
        found.append(Step("state", _state(before), _state(after)))
    if before.value != after.value:
        was, now = _members(before.value), _members(after.value)
        found += [
            Step(name, _text(was.get(name)), _text(now.get(name)))
            for name in {**was, **now}
            if was.get(name) != now.get(name)
        ]
    return found[:MOST_STEPS]


def note(change: FlagChange) -> str | None:
    """Return a note about a change that the environment's flag alone does not show."""
    if not change.targeting_changed:
        return None
    return "The segments, overrides or split changed: it differs for some visitors."


def reason(flag: Flag) -> str:
    """Word the reason of a flag, which the SDK gives as ``SPLIT; weight=30.0``."""
    if flag.is_default:
        return "default"
    kind, _, detail = (flag.reason or "").partition("; ")
    value = detail.partition("=")[2]
    if kind == "SPLIT":
        return f"split, {float(value):g} %"
    if kind == "TARGETING_MATCH":
        return "this visitor" if value == "identity_overrides" else f"segment {value}"
    return "split, control" if flag.variant == "control" else "environment"


def _existence(flag: Flag | None) -> str:
    return "none" if flag is None else _state(flag)


def _state(flag: Flag) -> str:
    return "on" if flag.enabled else "off"


def _members(value: Any) -> dict[str, Any]:
    """Return the members of a JSON object; any other value as the only one."""
    try:
        members = json.loads(value)
    except (TypeError, ValueError):
        members = None
    return members if isinstance(members, dict) else {"value": value}


def _text(value: Any) -> str:
    return "none" if value is None else str(value)
