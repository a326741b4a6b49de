"""Values without I/O: flags, identities, snapshots, changes, epochs, and decoding documents."""

from __future__ import annotations

from .browser_rules import BrowserRules
from .changes import FlagChange, diff
from .document import (
    check_environment_document,
    check_flags,
    check_identity,
    check_identity_overrides,
    parse_json,
)
from .epochs import (
    is_plausible,
    may_hide_newer,
    parse_epoch_header,
    parse_event,
    parse_iso_epoch,
)
from .flag import Experiment, Flag, FlagValue, default_flag, parse_value
from .identity import Identity, TraitConfig, Traits, TraitValue
from .snapshot import Snapshot, evaluator_of, flag_of, snapshot_of_document, snapshot_of_flags

__all__ = [
    "BrowserRules",
    "Experiment",
    "Flag",
    "FlagChange",
    "FlagValue",
    "Identity",
    "Snapshot",
    "TraitConfig",
    "TraitValue",
    "Traits",
    "check_environment_document",
    "check_flags",
    "check_identity",
    "check_identity_overrides",
    "default_flag",
    "diff",
    "evaluator_of",
    "flag_of",
    "is_plausible",
    "may_hide_newer",
    "parse_epoch_header",
    "parse_event",
    "parse_iso_epoch",
    "parse_json",
    "parse_value",
    "snapshot_of_document",
    "snapshot_of_flags",
]
