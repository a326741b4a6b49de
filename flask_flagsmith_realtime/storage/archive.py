"""Archives: a snapshot as bytes, for a file or another process. Pure.

An archive is one JSON object. It keeps Flagsmith's answer as it came, so that what is unpacked is
checked and evaluated like an answer of the API; nobody's archive is trusted further than that. It
names its environment by a digest of the environment key, never by the key, and is of no use with
another key.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from ..config import SERVER_SIDE_PREFIX
from ..exceptions import InvalidDocumentError
from ..model import (
    Snapshot,
    check_environment_document,
    check_flags,
    parse_json,
    snapshot_of_document,
    snapshot_of_flags,
)

_FORMAT = 1
_DOCUMENT = "environment-document"
_FLAGS = "flags"


def environment_digest(environment_key: str) -> str:
    """Name an environment without telling its key.

    A key is long and random: its digest cannot be turned back by trying.
    """
    return hashlib.sha256(b"flask-flagsmith-realtime:" + environment_key.encode()).hexdigest()


def pack(snapshot: Snapshot, environment_key: str) -> bytes:
    """Pack a snapshot.

    :param environment_key: the key with which it was fetched.
    :raises ValueError: if the answer holds the server-side key, which must not be written down.
    """
    local = snapshot.document is not None
    archive = {
        "format": _FORMAT,
        "environment": environment_digest(environment_key),
        "kind": _DOCUMENT if local else _FLAGS,
        "epoch": snapshot.epoch,
        "fetched_at": snapshot.fetched_at,
        "content": snapshot.document if local else snapshot.answer,
    }
    try:
        data = json.dumps(archive, separators=(",", ":"), allow_nan=False)
    except RecursionError:
        raise ValueError("Flagsmith's answer is nested too deeply") from None
    if local and json.dumps(environment_key)[1:-1] in data:
        raise ValueError("Flagsmith's answer holds the server-side key itself")
    return data.encode()


def unpack(data: bytes, environment_key: str) -> Snapshot:
    """Unpack a snapshot, checking it as strictly as an answer of the API.

    :param environment_key: the key of the environment that it has to be of.
    :raises InvalidDocumentError: if it is damaged, of another environment, or of a later format.
    """
    archive = parse_json(data)
    if not isinstance(archive, dict):
        raise InvalidDocumentError("it is not a snapshot")
    if archive.get("format") != _FORMAT:
        raise InvalidDocumentError(
            "it is not a snapshot, or one of another version of flask-flagsmith-realtime"
        )
    if archive.get("environment") != environment_digest(environment_key):
        raise InvalidDocumentError("it belongs to another environment key")
    kind, content = archive.get("kind"), archive.get("content")
    local = environment_key.startswith(SERVER_SIDE_PREFIX)
    if kind != (_DOCUMENT if local else _FLAGS):
        raise InvalidDocumentError("its kind does not go with the kind of the environment key")
    epoch = None if archive.get("epoch") is None else _moment(archive, "epoch")
    fetched_at = _moment(archive, "fetched_at")
    if local:
        return snapshot_of_document(check_environment_document(content), epoch, fetched_at)
    return snapshot_of_flags(check_flags(content), epoch, fetched_at, environment_key)


def _moment(archive: dict[str, Any], member: str) -> float:
    value = archive.get(member)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            moment = float(value)
        except OverflowError:
            moment = math.inf
        if math.isfinite(moment) and moment >= 0:
            return moment
    raise InvalidDocumentError(f"its {member} is not a moment in seconds")
