"""Reading flags: a consistent view, missing features, a record of reads, and overrides."""

from __future__ import annotations

from .browser import BROWSER_BLUEPRINT, BrowserFlags, sdk_name
from .flags import UNSET, Flags, Identities, Unset, WrappedFlags, flags_for_browser
from .missing import MissingFeatures
from .overrides import (
    PREVIEW,
    Layer,
    OverriddenFlags,
    Override,
    check_overrides,
    overridden_snapshot,
)
from .recording import Reads, RecordingFlags

__all__ = [
    "BROWSER_BLUEPRINT",
    "PREVIEW",
    "UNSET",
    "BrowserFlags",
    "Flags",
    "Identities",
    "Layer",
    "MissingFeatures",
    "OverriddenFlags",
    "Override",
    "Reads",
    "RecordingFlags",
    "Unset",
    "WrappedFlags",
    "check_overrides",
    "flags_for_browser",
    "overridden_snapshot",
    "sdk_name",
]
