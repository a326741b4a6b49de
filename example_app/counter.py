"""Behind the counter: what the signals tell, for the panel beside the shop.

The receivers run in the extension's refresher thread. They replace what is there by one assignment,
so that requests can read it without a lock, and then tell the open pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Flask, current_app

from flask_flagsmith_realtime import (
    FlagChange,
    Snapshot,
    flags,
    flags_changed,
    refresh_failed,
    snapshot_refreshed,
    stream_connected,
    stream_disconnected,
)

from . import prices
from .features import DEFAULTS, flagsmith
from .live import news
from .people import PEOPLE, current_person
from .wording import Step, note, reason, steps

MOST_ENTRIES = 5


@dataclass(frozen=True)
class Entry:
    """One feature's change, as the panel shows it."""

    feature: str
    at: datetime
    steps: list[Step]
    note: str | None


class Counter:
    """What this process has been told, the newest first."""

    entries: tuple[Entry, ...] = ()


counter = Counter()


@flags_changed.connect
def write_down(
    app: Flask, changes: Mapping[str, FlagChange], snapshot: Snapshot, **extra: Any
) -> None:
    """Show what changed."""
    now = datetime.now()
    entries = [Entry(name, now, steps(change), note(change)) for name, change in changes.items()]
    counter.entries = (*entries, *counter.entries)[:MOST_ENTRIES]
    news.tell(snapshot.epoch)


@stream_connected.connect
@stream_disconnected.connect
@snapshot_refreshed.connect
@refresh_failed.connect
def look_again(app: Flask, **extra: Any) -> None:
    """The listener's state may be another: see ``flagsmith.status``."""
    news.tell()


def template_names() -> dict[str, Any]:
    """What all templates can use."""
    return {
        "counter": counter,
        "emulator_url": current_app.config.get("EMULATOR_URL"),
        "features": [flags[name] for name in DEFAULTS],
        "moment": datetime.fromtimestamp,
        "people": PEOPLE,
        "person": current_person(),
        "price_list": prices.price_list,
        "price_list_use": prices.read.cache_info,
        "reason": reason,
        "status": flagsmith.status,
    }
