"""Flagsmith feature flags for Flask that follow every change in real time.

The public names are those of this module. See the documentation for how they work together.
"""

from __future__ import annotations

# First, where the stack is not deep: Python 3.11 takes several times as long to compile their
# regular expressions where a call needs another piece of memory for the stack.
import flagsmith as _flagsmith  # noqa: F401
import flask as _flask  # noqa: F401

from .current import flags
from .exceptions import (
    ConfigError,
    FeatureNotFoundError,
    FetchError,
    FlagsmithRealtimeError,
    HiddenFeatureError,
    InvalidDocumentError,
    NotInitializedError,
)
from .extension import FlagsmithRealtime
from .flag_required import flag_required
from .model import Experiment, Flag, FlagChange, Identity, Snapshot
from .monitoring import Status
from .reading import Flags
from .reporting import Event
from .signals import (
    flag_evaluated,
    flags_changed,
    refresh_failed,
    snapshot_refreshed,
    stream_connected,
    stream_disconnected,
)
from .version import __version__ as __version__

__all__ = [
    "ConfigError",
    "Event",
    "Experiment",
    "FeatureNotFoundError",
    "FetchError",
    "Flag",
    "FlagChange",
    "Flags",
    "FlagsmithRealtime",
    "FlagsmithRealtimeError",
    "HiddenFeatureError",
    "Identity",
    "InvalidDocumentError",
    "NotInitializedError",
    "Snapshot",
    "Status",
    "flag_evaluated",
    "flag_required",
    "flags",
    "flags_changed",
    "refresh_failed",
    "snapshot_refreshed",
    "stream_connected",
    "stream_disconnected",
]
