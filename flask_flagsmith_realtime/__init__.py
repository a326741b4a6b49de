"""Flagsmith feature flags for Flask that follow every change in real time.

The public names are those of this module. See the documentation for how they work together.
"""

from __future__ import annotations

from .changes import FlagChange
from .current import flags
from .errors import (
    ConfigError,
    FeatureNotFoundError,
    FetchError,
    FlagsmithRealtimeError,
    InvalidDocumentError,
    NotInitializedError,
)
from .extension import FlagsmithRealtime
from .flag import Flag
from .flags import Flags
from .guard import flag_required
from .identity import Identity
from .signals import (
    flags_changed,
    refresh_failed,
    snapshot_refreshed,
    stream_connected,
    stream_disconnected,
)
from .snapshot import Snapshot
from .status import Status

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "FeatureNotFoundError",
    "FetchError",
    "Flag",
    "FlagChange",
    "Flags",
    "FlagsmithRealtime",
    "FlagsmithRealtimeError",
    "Identity",
    "InvalidDocumentError",
    "NotInitializedError",
    "Snapshot",
    "Status",
    "flag_required",
    "flags",
    "flags_changed",
    "refresh_failed",
    "snapshot_refreshed",
    "stream_connected",
    "stream_disconnected",
]
