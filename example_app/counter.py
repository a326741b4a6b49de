"""Behind the counter: receivers of the signals, for the panel beside the shop.

The receivers run in a thread of the extension. They replace the entries by one assignment, so that
requests read them without a lock, and then notify the open pages.
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
    """A change of one feature, as the panel shows it."""

    feature: str
    at: datetime
    steps: list[Step]
    note: str | None


class Counter:
    """The latest changes that this process received, the newest first."""

    entries: tuple[Entry, ...] = ()


counter = Counter()


@flags_changed.connect
def record_changes(
    app: Flask, changes: Mapping[str, FlagChange], snapshot: Snapshot, **extra: Any
) -> None:
    """Add changes to the panel."""
    now = datetime.now()
    entries = [Entry(name, now, steps(change), note(change)) for name, change in changes.items()]
    counter.entries = (*entries, *counter.entries)[:MOST_ENTRIES]
    news.notify(snapshot.epoch)


@stream_connected.connect
@stream_disconnected.connect
@snapshot_refreshed.connect
@refresh_failed.connect
def update_status(app: Flask, **extra: Any) -> None:
    """Notify the open pages: ``flagsmith.status`` may have changed."""
    news.notify()


def template_names() -> dict[str, Any]:
    """Return the names that all templates can use."""
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
