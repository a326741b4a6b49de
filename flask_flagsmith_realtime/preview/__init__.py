"""Previews: features that look different in one browser, for people whom the app allows it.

The settings lie in a signed cookie of that browser. :class:`Preview` reads them, the blueprint
sets them and marks the responses.
"""

from __future__ import annotations

from .blueprint import make_blueprint
from .preview import Preview

__all__ = ["Preview", "make_blueprint"]
