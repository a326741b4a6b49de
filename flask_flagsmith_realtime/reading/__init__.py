"""Reading flags: a consistent view, missing features, and overrides for tests."""

from __future__ import annotations

from .flags import UNSET, Flags, Identities, Unset
from .missing import MissingFeatures, OnMissing
from .overrides import (
    Layer,
    OverriddenFlags,
    Override,
    changes_by,
    check_overrides,
    overridden_snapshot,
)

__all__ = [
    "UNSET",
    "Flags",
    "Identities",
    "Layer",
    "MissingFeatures",
    "OnMissing",
    "OverriddenFlags",
    "Override",
    "Unset",
    "changes_by",
    "check_overrides",
    "overridden_snapshot",
]
