"""The reason of a flag as one of the standard words of OpenFeature and OpenTelemetry."""

from __future__ import annotations

from functools import lru_cache

from ..model import Flag


def reason_of(flag: Flag) -> str:
    """Returns the reason of a flag: ``DEFAULT`` for a default of the app, ``DISABLED`` if it is
    off, ``TARGETING_MATCH``, ``SPLIT``, ``STATIC`` for the environment's own state, or another
    reason as it is."""
    if flag.is_default:
        return "DEFAULT"
    if not flag.enabled:
        return "DISABLED"
    if flag.reason is None:
        return "STATIC" if flag.variant is None else "SPLIT"
    return _standard(flag.reason)


@lru_cache(maxsize=1024)
def _standard(reason: str) -> str:
    word = reason.partition(";")[0].strip()
    # Flagsmith's word for the environment's own state, which elsewhere means the app's default.
    return "STATIC" if word == "DEFAULT" else word
