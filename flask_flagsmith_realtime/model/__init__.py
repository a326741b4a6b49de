"""An environment's state: flags, documents, snapshots, and the local evaluation of identities.

The document and the other answers of Flagsmith are decoded here, and nowhere else. Everything is
pure: nothing reads a file, a socket or a clock.
"""

from __future__ import annotations

from .browser_rules import BrowserRules
from .changes import FlagChange, diff
from .decoding import MAX_BYTES, decode, json_text
from .document import (
    Document,
    FeatureState,
    FlagState,
    Page,
    decode_identity,
    first_page,
    further_page,
)
from .epochs import (
    is_plausible,
    may_hide_newer,
    parse_epoch_header,
    parse_event,
    parse_iso_epoch,
    parse_webhook,
)
from .evaluation import Evaluation
from .flag import Experiment, Flag, FlagValue, default_flag
from .identity import Identity, TraitValue
from .snapshot import Snapshot, snapshot_of_flags, snapshot_of_pages

__all__ = [
    "MAX_BYTES",
    "BrowserRules",
    "Document",
    "Evaluation",
    "Experiment",
    "FeatureState",
    "Flag",
    "FlagChange",
    "FlagState",
    "FlagValue",
    "Identity",
    "Page",
    "Snapshot",
    "TraitValue",
    "decode",
    "decode_identity",
    "default_flag",
    "diff",
    "first_page",
    "further_page",
    "is_plausible",
    "json_text",
    "may_hide_newer",
    "parse_epoch_header",
    "parse_event",
    "parse_iso_epoch",
    "parse_webhook",
    "snapshot_of_flags",
    "snapshot_of_pages",
]
