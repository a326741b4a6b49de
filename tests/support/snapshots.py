"""Snapshots of answers that tests write as Python objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask_flagsmith_realtime.model import (
    Snapshot,
    first_page,
    snapshot_of_flags,
    snapshot_of_pages,
)
from flask_flagsmith_realtime.model.document import Document, document_of


def decode_document(document: Mapping[str, Any]) -> Document:
    """Decode an environment document, as it comes from the API in one page."""
    return document_of([first_page(json.dumps(document).encode())])


def snapshot_of_document(
    document: Mapping[str, Any],
    epoch: float | None,
    fetched_at: float,
    held: Snapshot | None = None,
) -> Snapshot:
    """Make a snapshot of an environment document, as it comes from the API in one page."""
    page = first_page(json.dumps(document).encode())
    return snapshot_of_pages([page], epoch, fetched_at, held)


def snapshot_of_answer(
    flags: Sequence[Mapping[str, Any]], epoch: float | None, fetched_at: float, environment_id: str
) -> Snapshot:
    """Make a snapshot of a list of flags, as ``flags/`` answers it."""
    return snapshot_of_flags(json.dumps(flags).encode(), epoch, fetched_at, environment_id)


def document_in(snapshot: Snapshot) -> Any:
    """The environment document in a snapshot, parsed; the overrides of all pages together."""
    first, *further = map(json.loads, snapshot.pages)
    for page in further:
        overrides = first["identity_overrides"] or []
        first["identity_overrides"] = [*overrides, *page["identity_overrides"]]
    return first
