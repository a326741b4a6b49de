"""The JSON of identity overrides, kept between the versions of an environment.

An environment can have tens of thousands. Versions share the entries that do not change, so each is
serialized once, and the document of a new version is joined from texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class OverrideTexts:
    """The JSON of the entries of one version.

    :param entries: the entries of ``identity_overrides``, which nothing changes from here on.
    :param previous: those of the version before, whose texts are taken over.
    """

    def __init__(
        self, entries: Sequence[Mapping[str, Any]], previous: OverrideTexts | None = None
    ) -> None:
        known: dict[int, bytes] = {} if previous is None else previous._texts
        self._entries = entries  # While they are held, no other object has their ids.
        self._texts: dict[int, bytes] = {
            id(entry): known.get(id(entry)) or _text(entry) for entry in entries
        }

    def join(self, entries: Iterable[Mapping[str, Any]]) -> bytes:
        """Returns a JSON array of some of the entries."""
        return b"[" + b",".join(self._texts[id(entry)] for entry in entries) + b"]"


def as_json(value: Any) -> bytes:
    """Serializes a value without blanks."""
    return json.dumps(value, separators=(",", ":")).encode()


def _text(entry: Mapping[str, Any]) -> bytes:
    # Stored traits are in the state file's document only.
    return as_json({**entry, "identity_traits": []})
