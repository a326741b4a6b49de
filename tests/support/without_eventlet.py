"""Imports what would import eventlet, whose import warns that it is deprecated."""

from __future__ import annotations

import sys

import pytest

with pytest.MonkeyPatch.context() as patch:
    patch.setitem(sys.modules, "eventlet", None)
    import sentry_sdk

__all__ = ["sentry_sdk"]
