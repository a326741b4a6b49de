"""What the doctor finds: one line each."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.Enum):
    """How a check went."""

    OK = "ok"
    #: Flags are served, but not as well as they could be.
    WARNING = "warning"
    #: Something does not work until it is mended.
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    :param level: how it went.
    :param check: what was looked at, in a word or two.
    :param message: what was found. Holds no secret.
    :param advice: what to do about it, if anything.
    """

    level: Level
    check: str
    message: str
    advice: str | None = None


def ok(check: str, message: str, advice: str | None = None) -> Finding:
    """It is as it should be."""
    return Finding(Level.OK, check, message, advice)


def warning(check: str, message: str, advice: str) -> Finding:
    """It works, but there is something to know."""
    return Finding(Level.WARNING, check, message, advice)


def failed(check: str, message: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(Level.FAILED, check, message, advice)
