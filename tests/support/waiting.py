"""The patience of all tests, and waiting by polling."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

#: Seconds until a wait fails. Longer than any step takes on a busy machine; no passing test waits
#: for it to pass.
PATIENCE_SECONDS = 60.0

T = TypeVar("T")


def eventually(condition: Callable[[], T], describe: Callable[[], object] = str) -> T:
    """Poll until a condition holds.

    :param condition: called until it returns a true value.
    :param describe: returns the state that a failure shows.
    :returns: the true value.
    :raises TimeoutError: after :data:`PATIENCE_SECONDS`.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {PATIENCE_SECONDS:g} s: {describe()}")
        time.sleep(0.01)
    return result
