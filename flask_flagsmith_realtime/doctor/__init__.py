"""``flask flagsmith doctor``: checks everything between an app and its flags. It prints nothing."""

from __future__ import annotations

from .checks import broken_app, broken_setup, examine
from .findings import Finding

__all__ = [
    "Finding",
    "broken_app",
    "broken_setup",
    "examine",
]
