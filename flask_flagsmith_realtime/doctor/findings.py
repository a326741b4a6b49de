"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    :param level: a warning if flags are served, but not as well as they could be; failed if a part
        does not work until it is fixed.
    :param check: the name of the check.
    :param message: the result. Holds no secret.
    :param advice: the fix, or more to know.
    """

    level: Literal["ok", "warning", "failed"]
    check: str
    message: str
    advice: str | None = None


ok = partial(Finding, "ok")
warning = partial(Finding, "warning")
failed = partial(Finding, "failed")
