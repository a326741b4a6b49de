"""A value that each process makes for itself: it must not outlive a fork."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """Holds a value of this process. Needs no fork handler and no lock.

    :param make: makes the value at the first use in a process.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: dict[int, T] = {}

    def get(self) -> T:
        """Returns the value of this process, and drops those of its parents."""
        pid = os.getpid()
        value = self._values.get(pid)
        if value is None:
            value = self._values.setdefault(pid, self._make())
            for other in list(self._values):
                if other != pid:
                    self._values.pop(other, None)
        return value
