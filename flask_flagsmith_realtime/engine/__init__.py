"""The engine: keeps one app's flags fresh in one process.

One source at a time brings snapshots; the publisher makes them visible; the dispatcher sends the
signals.
"""

from __future__ import annotations

from .engine import Engine
from .flagsmith_source import FlagsmithSource
from .publisher import Publisher, Sink
from .source import FileSource, RefreshHint, Source, SourceFactory

__all__ = [
    "Engine",
    "FileSource",
    "FlagsmithSource",
    "Publisher",
    "RefreshHint",
    "Sink",
    "Source",
    "SourceFactory",
]
