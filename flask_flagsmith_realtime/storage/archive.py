"""Archives: a snapshot as bytes, for a file or for other processes. Pure.

An archive is a line of JSON before the bytes of Flagsmith's answer, which are stored as they came
and decoded like an answer of the API; nothing else in an archive is trusted. A large one is
compressed by gzip. It names its environment by a digest of the environment key, never by the key,
and is of no use with another key.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
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
    prepare,
    snapshot_of_flags,
    snapshot_of_pages,
)

#: An archive is larger than the answer in it by less than that.
MAX_ARCHIVE_BYTES = MAX_BYTES + 64 * 1024

_FORMAT = 3
_LONGEST_HEAD_BYTES = 16 * 1024

_COMPRESSED_FROM_BYTES = 64 * 1024
#: The fastest: others save a few hundredths of the size and take several times as long.
_COMPRESSION_LEVEL = 1
#: The parameter of zlib for gzip's format, and the bytes that this begins with.
_GZIP, _GZIP_MAGIC = 31, b"\x1f\x8b"


#: In seconds since 1970.
_Moment: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
_Length: TypeAlias = Annotated[int, msgspec.Meta(gt=0)]


class _Head(msgspec.Struct):
    format: Any = None
    environment: Any = None
    epoch: _Moment | None = None
    fetched_at: _Moment = 0.0
    announced: _Moment | None = None
    #: The lengths of the pages in bytes.
    pages: tuple[_Length, ...] = ()


prepare(_Head)


def environment_digest(environment_key: str) -> str:
    """Returns a name of an environment that does not disclose its key: a key is long and random, so
    it cannot be guessed."""
    return hashlib.sha256(b"flask-flagsmith-realtime:" + environment_key.encode()).hexdigest()


def pack(snapshot: Snapshot, environment_key: str) -> bytes:
    """Packs a snapshot.

    :param environment_key: the key with which it was fetched.
    :raises ValueError: if the answer holds the server-side key, which must not be written down.
    """
    pages = snapshot.pages
    written = json.dumps(environment_key)[1:-1].encode()
    if snapshot.document is not None and any(written in page for page in pages):
        raise ValueError("Flagsmith's answer holds the server-side key itself")
    head = msgspec.json.encode(
        _Head(
            _FORMAT,
            environment_digest(environment_key),
            snapshot.epoch,
            snapshot.fetched_at,
            snapshot.announced,
            tuple(map(len, pages)),
        )
    )
    parts = (head, b"\n", *pages)
    if sum(map(len, parts)) < _COMPRESSED_FROM_BYTES:
        return b"".join(parts)
    compressor = zlib.compressobj(_COMPRESSION_LEVEL, wbits=_GZIP)
    return b"".join([*map(compressor.compress, parts), compressor.flush()])


def unpack(data: bytes, environment_key: str, held: Snapshot | None = None) -> Snapshot:
    """Unpacks a snapshot, with the checks that an answer of the API undergoes.

    :param environment_key: the key of the environment that it has to be of.
    :param held: an earlier snapshot. What is the same by bytes is not decoded again.
    :raises InvalidDocumentError: if it is damaged, of another environment, or of a later format.
    """
    raw = io.BytesIO(data)
    file = gzip.GzipFile(fileobj=raw) if data.startswith(_GZIP_MAGIC) else raw
    try:
        head = decode(_Head, file.readline(_LONGEST_HEAD_BYTES))
        _check(head, environment_key)
        # Memory for any body, as for an answer of the API: the system gets back what is not used.
        body = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidDocumentError(f"it is damaged ({error})") from None
    ends = list(itertools.accumulate(head.pages))
    if ends[-1] != len(body):
        raise InvalidDocumentError("it is damaged, or larger than an archive can be")
    first, *further = (body[end - size : end] for end, size in zip(ends, head.pages, strict=True))
    if not _is_local(environment_key):
        snapshot = snapshot_of_flags(first, head.epoch, head.fetched_at, environment_key, held)
        return replace(snapshot, announced=head.announced)
    document = None if held is None else held.document
    pages = [first_page(first, document), *(further_page(page, document) for page in further)]
    return snapshot_of_pages(pages, head.epoch, head.fetched_at, held)


def _check(head: _Head, environment_key: str) -> None:
    if head.format != _FORMAT:
        raise InvalidDocumentError(
            "it is not a snapshot, or one of another version of flask-flagsmith-realtime"
        )
    if head.environment != environment_digest(environment_key):
        raise InvalidDocumentError("it belongs to another environment key")
    if not head.pages or (not _is_local(environment_key) and len(head.pages) > 1):
        raise InvalidDocumentError("it does not hold the pages of an answer")


def _is_local(environment_key: str) -> bool:
    return environment_key.startswith(SERVER_SIDE_PREFIX)
