"""TODO face."""

from __future__ import annotations

from .commands import flagsmith

__all__ = [
    "flagsmith",
]
