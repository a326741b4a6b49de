"""TODO face."""

from __future__ import annotations

from .flags import UNSET, Flags, Identities, MissingFeatures, OnMissing, Unset
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
