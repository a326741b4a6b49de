"""The result of one check."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import partial


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


ok = partial(Finding, Level.OK)
warning = partial(Finding, Level.WARNING)
failed = partial(Finding, Level.FAILED)
