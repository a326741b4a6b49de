"""The activity of the threads, and the status computed from it."""

from __future__ import annotations

from .activity import POLLING, Activity, Trouble
from .status import Now, State, Status, make_status

__all__ = [
    "POLLING",
    "Activity",
    "Now",
    "State",
    "Status",
    "Trouble",
    "make_status",
]
