"""The reports of apps: counts of evaluated features, and the events of experiments.

Any thread may call anything; one lock guards it all, and nothing is called while it is held.
"""

from __future__ import annotations

import copy
import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any

#: The event that says that an identity was shown a variant of a feature.
EXPOSURE = "$flag_exposure"

#: As many events are kept, the newest.
KEPT_EVENTS = 10_000


class Usage:
    """Reported evaluations and events."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._evaluations: Counter[str] = Counter()
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT_EVENTS)
        self._received = 0

    def record_evaluations(self, counts: Mapping[str, int]) -> None:
        """Adds counts of evaluations, by feature."""
        with self._lock:
            self._evaluations.update(counts)
            self._received += 1

    def record_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Keeps events."""
        with self._lock:
            self._events.extend(dict(event) for event in events)
            self._received += 1

    @property
    def evaluations(self) -> Counter[str]:
        """The evaluations so far, by feature."""
        with self._lock:
            return self._evaluations.copy()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events, the oldest first. The caller may change what is returned."""
        with self._lock:
            return copy.deepcopy(list(self._events))

    @property
    def received(self) -> int:
        """The number of reports so far."""
        with self._lock:
            return self._received
