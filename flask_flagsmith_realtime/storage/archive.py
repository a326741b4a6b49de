"""Archives: a snapshot as bytes, for a file or for other processes. Pure.

An archive is a JSON object around the bytes of Flagsmith's answer, which are stored as they came
and decoded like an answer of the API; nothing else in an archive is trusted. A large one is
compressed. It names its environment by a digest of the environment key, never by the key, and is of
no use with another key.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import replace
from typing import Annotated, Any, TypeAlias

import msgspec

from ..config import SERVER_SIDE_PREFIX
from ..exceptions import InvalidDocumentError
from ..model import (
    MAX_BYTES,
    Snapshot,
    decode,
    first_page,
    further_page,
    json_text,
    snapshot_of_flags,
    snapshot_of_pages,
)

#: An archive is larger than the answer in it by less than that.
MAX_ARCHIVE_BYTES = MAX_BYTES + 64 * 1024

_FORMAT = 2
_DOCUMENT = "environment-document"
_FLAGS = "flags"

_COMPRESSED_FROM_BYTES = 64 * 1024
#: The fastest: others save a few hundredths of the size and take several times as long.
_COMPRESSION_LEVEL = 1


#: In seconds since 1970.
_Moment: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]


class _Archive(msgspec.Struct):
    format: Any = None
    environment: Any = None
    kind: Any = None
    epoch: _Moment | None = None
    fetched_at: _Moment = 0.0
    announced: _Moment | None = None
    pages: tuple[msgspec.Raw, ...] = ()


def environment_digest(environment_key: str) -> str:
    """Returns a name of an environment that does not disclose its key: a key is long and random, so
    it cannot be guessed."""
    return hashlib.sha256(b"flask-flagsmith-realtime:" + environment_key.encode()).hexdigest()


def pack(snapshot: Snapshot, environment_key: str) -> bytes:
    """Packs a snapshot.

    :param environment_key: the key with which it was fetched.
    :raises ValueError: if the answer holds the server-side key, which must not be written down.
    """
    local = snapshot.document is not None
    pages = snapshot.pages
    written = json.dumps(environment_key)[1:-1].encode()
    if local and any(written in page for page in pages):
        raise ValueError("Flagsmith's answer holds the server-side key itself")
    empty = msgspec.json.encode(
        _Archive(
            _FORMAT,
            environment_digest(environment_key),
            _DOCUMENT if local else _FLAGS,
            snapshot.epoch,
            snapshot.fetched_at,
            snapshot.announced,
        )
    )
    # The pages go into the empty list at the end of it, without another copy of a large document.
    parts = empty.removesuffix(b"]}"), b",".join(pages), b"]}"
    if sum(map(len, parts)) < _COMPRESSED_FROM_BYTES:
        return b"".join(parts)
    compressor = zlib.compressobj(_COMPRESSION_LEVEL)
    return b"".join([*map(compressor.compress, parts), compressor.flush()])


def unpack(data: bytes, environment_key: str, held: Snapshot | None = None) -> Snapshot:
    """Unpacks a snapshot, with the checks that an answer of the API undergoes.

    :param environment_key: the key of the environment that it has to be of.
    :param held: an earlier snapshot. What is the same by bytes is not decoded again.
    :raises InvalidDocumentError: if it is damaged, of another environment, or of a later format.
    """
    archive = decode(_Archive, json_text(_decompressed(data)))
    if archive.format != _FORMAT:
        raise InvalidDocumentError(
            "it is not a snapshot, or one of another version of flask-flagsmith-realtime"
        )
    if archive.environment != environment_digest(environment_key):
        raise InvalidDocumentError("it belongs to another environment key")
    local = environment_key.startswith(SERVER_SIDE_PREFIX)
    if archive.kind != (_DOCUMENT if local else _FLAGS):
        raise InvalidDocumentError("its kind does not go with the kind of the environment key")
    if not archive.pages or (not local and len(archive.pages) > 1):
        raise InvalidDocumentError("it does not hold the pages of an answer")
    first, *further = (bytes(page) for page in archive.pages)
    if local:
        document = None if held is None else held.document
        pages = [first_page(first, document), *(further_page(page, document) for page in further)]
        return snapshot_of_pages(pages, archive.epoch, archive.fetched_at, held)
    snapshot = snapshot_of_flags(first, archive.epoch, archive.fetched_at, environment_key, held)
    return replace(snapshot, announced=archive.announced)


def _decompressed(data: bytes) -> bytes:
    if data[:1] != zlib.compress(b"", _COMPRESSION_LEVEL)[:1]:
        return data
    decompressor = zlib.decompressobj()
    try:
        archive = decompressor.decompress(data, MAX_ARCHIVE_BYTES)
    except zlib.error as error:
        raise InvalidDocumentError(f"it is damaged ({error})") from None
    if not decompressor.eof or decompressor.unused_data:
        raise InvalidDocumentError("it is damaged, or larger than an archive can be")
    return archive
