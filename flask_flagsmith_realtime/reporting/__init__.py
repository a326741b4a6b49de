"""Reports to Flagsmith: how often an app reads its features, exposures, and events."""

from __future__ import annotations

from .events import Event
from .reporter import Reporter

__all__ = [
    "Event",
    "Reporter",
]
