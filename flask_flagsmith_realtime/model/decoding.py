"""Strict JSON decoding: UTF-8, no NaN or infinity, no halves of characters, bounded nesting."""

from __future__ import annotations

import codecs
from typing import Any, TypeVar

import msgspec

from ..exceptions import InvalidDocumentError

#: The size of the largest answer, file or archive that is read.
MAX_BYTES = 64 * 1024 * 1024

_PIECE_BYTES = 64 * 1024

#: The decoders by type.
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}

_T = TypeVar("_T")


def prepare(*kinds: Any) -> None:
    """Makes the decoders of types, once they are defined: when their module is imported.

    At the first use it would be too late. A thread that makes a decoder meanwhile, or a forked
    child, finds a type that msgspec has only half read, and crashes with it.
    """
    _decoders.update((kind, msgspec.json.Decoder(kind)) for kind in kinds)


def json_text(body: bytes) -> bytes:
    """Returns a body without a byte order mark.

    :raises InvalidDocumentError: if it is not UTF-8, be it in a part that nothing decodes.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    if not body.isascii():
        # In pieces: the text of all of it would take up to four times the memory.
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            for start in range(0, len(body), _PIECE_BYTES):
                decoder.decode(body[start : start + _PIECE_BYTES])
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise InvalidDocumentError(f"it is not JSON (not utf-8: {error.reason})") from None
    return body


def decode(kind: type[_T], body: bytes | str | msgspec.Raw, at: str = "$") -> _T:
    """Decodes and validates JSON text.

    :param kind: the type that says what is valid. It has been :func:`prepared <prepare>`.
    :param at: the path of this text in the whole, for errors.
    :raises InvalidDocumentError: naming the member that is wrong by its path.
    """
    try:
        decoded: _T = _decoders[kind].decode(body)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        raise InvalidDocumentError(f"{at}{place.rstrip('`')}: {message}") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidDocumentError(f"it is not JSON ({error})") from None
    except RecursionError:
        raise InvalidDocumentError("it is nested too deeply") from None
    return decoded
