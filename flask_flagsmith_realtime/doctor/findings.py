"""The result of one check."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.Enum):
    """The outcome of a check."""

    OK = "ok"
    #: Flags are served, but not as well as they could be.
    WARNING = "warning"
    #: A part does not work until it is fixed.
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    :param level: the outcome.
    :param check: the name of the check.
    :param message: the result. Holds no secret.
    :param advice: the fix, or more to know.
    """

    level: Level
    check: str
    message: str
    advice: str | None = None


def ok(check: str, message: str, advice: str | None = None) -> Finding:
    """Returns a finding that all is well."""
    return Finding(Level.OK, check, message, advice)


def warning(check: str, message: str, advice: str) -> Finding:
    """Returns a finding about a limitation."""
    return Finding(Level.WARNING, check, message, advice)


def failed(check: str, message: str, advice: str) -> Finding:
    """Returns a finding about a failure."""
    return Finding(Level.FAILED, check, message, advice)
