"""Behind the counter: a receiver of a signal, for the panel beside the shop."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Flask, current_app

from flask_flagsmith_realtime import FlagChange, Snapshot, flags, flags_changed

from . import prices
from .features import DEFAULTS, flagsmith
from .people import PEOPLE, current_person
from .wording import Step, note, reason, steps

MOST_ENTRIES = 5

#: How long a page waits for the signal of its flags.
MOST_WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class Entry:
    """A change of one feature, as the panel shows it."""

    feature: str
    at: datetime
    steps: list[Step]
    note: str | None


class Counter:
    """The latest changes that this process received, the newest first.

    A signal is sent in a thread of the extension, after requests see the new flags. So a page that
    is rendered at that moment waits for the signal, or it would show the change without its entry.
    """

    def __init__(self) -> None:
        self._received = threading.Condition()
        self._entries: tuple[Entry, ...] = ()
        self._epoch: float | None = None

    def record(self, entries: list[Entry], epoch: float | None) -> None:
        """Add entries for the flags of an epoch."""
        with self._received:
            self._entries = (*entries, *self._entries)[:MOST_ENTRIES]
            self._epoch = epoch
            self._received.notify_all()

    def latest(self, epoch: float | None) -> tuple[Entry, ...]:
        """Return the entries, for a page with the flags of an epoch."""
        with self._received:
            self._received.wait_for(lambda: self._is_up_to_date(epoch), MOST_WAIT_SECONDS)
            # There is no signal for the first flags, nor for flags that are the same.
            if not self._is_up_to_date(epoch) or self._epoch is None:
                self._epoch = epoch
            return self._entries

    def _is_up_to_date(self, epoch: float | None) -> bool:
        return epoch is None or self._epoch is None or epoch <= self._epoch


counter = Counter()


@flags_changed.connect
def record_changes(
    app: Flask, changes: Mapping[str, FlagChange], snapshot: Snapshot, **extra: Any
) -> None:
    """Add changes to the panel."""
    now = datetime.now()
    entries = [Entry(name, now, steps(change), note(change)) for name, change in changes.items()]
    counter.record(entries, snapshot.epoch)


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
