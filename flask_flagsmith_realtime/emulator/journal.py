"""The recent past, for the page and for tests: API calls, changes, identities that were served.

Any thread may call anything; one lock guards it all, and nothing is called while it is held.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime, timezone

from .document import TraitValue
from .environment import Served

KEPT_CHANGES = 50
KEPT_IDENTITIES = 12


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class Change:
    """A change that was made.

    :param what: what was changed, as the page shows it.
    :param epoch: the epoch that was announced; ``None`` if it was not announced.
    """

    what: str
    epoch: float | None
    at: datetime = field(default_factory=_now)


@dataclass(frozen=True)
class Visit:
    """An identity as the API served it.

    :param transient: the traits that it had for that call only.
    """

    identifier: str
    transient: dict[str, TraitValue]
    flags: tuple[Served, ...]
    at: datetime = field(default_factory=_now)


class Journal:
    """A bounded record."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._changes: deque[Change] = deque(maxlen=KEPT_CHANGES)
        self._visits: OrderedDict[str, Visit] = OrderedDict()

    def record_call(self, path: str) -> None:
        """Counts an API call."""
        with self._lock:
            self._calls[path] += 1

    def record_change(self, change: Change) -> None:
        """Keeps a change."""
        with self._lock:
            self._changes.appendleft(change)

    def record_visit(self, visit: Visit) -> None:
        """Keeps what an identity was served, in place of what it was served before."""
        with self._lock:
            self._visits[visit.identifier] = visit
            self._visits.move_to_end(visit.identifier, last=False)
            while len(self._visits) > KEPT_IDENTITIES:
                self._visits.popitem()

    @property
    def calls(self) -> Counter[str]:
        """The API calls by path: ``flags/``, ``identities/`` …"""
        with self._lock:
            return self._calls.copy()

    @property
    def changes(self) -> list[Change]:
        """The last changes, the newest first."""
        with self._lock:
            return list(self._changes)

    @property
    def visits(self) -> list[Visit]:
        """The identities that were served last, the newest first."""
        with self._lock:
            return list(self._visits.values())
