"""The endpoints for Flagsmith's clients: the SDK's API, the stream, usage analytics, events.

A Flask app of its own, apart from the page: these endpoints are open to pages of every origin, as
Flagsmith's are, and authenticate by a key in a header, never by a cookie. The page's forms have
the opposite rule, and an app of their own.
"""

from __future__ import annotations

from .app import create_api
from .stream import StreamOptions

__all__ = ["StreamOptions", "create_api"]
