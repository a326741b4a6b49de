"""TODO face."""

from __future__ import annotations

from .engine import Engine
from .mailbox import Mailbox, RefreshHint, SharedSnapshot

__all__ = [
    "Engine",
    "Mailbox",
    "RefreshHint",
    "SharedSnapshot",
]
