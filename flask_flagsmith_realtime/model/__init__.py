"""Values without I/O: flags, identities, snapshots, changes, epochs, and decoding documents."""

from __future__ import annotations

from .changes import FlagChange, diff
from .decoding import MAX_BYTES, decode, prepare
from .document import (
    Document,
    Page,
    decode_identity,
    first_page,
    further_page,
)
from .epochs import (
    is_plausible,
    may_hide_newer,
    parse_epoch,
    parse_event,
    parse_iso_epoch,
    parse_webhook,
)
from .evaluation import Evaluation
from .flag import Experiment, Flag, FlagValue, default_flag, parse_value
from .identity import MOST_IDENTITIES, Identity, TraitConfig, Traits, TraitValue
from .schema import FlagState
from .snapshot import Snapshot, snapshot_of_flags, snapshot_of_pages

__all__ = [
    "MAX_BYTES",
    "MOST_IDENTITIES",
    "Document",
    "Evaluation",
    "Experiment",
    "Flag",
    "FlagChange",
    "FlagState",
    "FlagValue",
    "Identity",
    "Page",
    "Snapshot",
    "TraitConfig",
    "TraitValue",
    "Traits",
    "decode",
    "decode_identity",
    "default_flag",
    "diff",
    "first_page",
    "further_page",
    "is_plausible",
    "may_hide_newer",
    "parse_epoch",
    "parse_event",
    "parse_iso_epoch",
    "parse_value",
    "parse_webhook",
    "prepare",
    "snapshot_of_flags",
    "snapshot_of_pages",
]
