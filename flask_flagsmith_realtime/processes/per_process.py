"""A value that each process makes for itself: it must not outlive a fork, nor gevent's patching,
since locks from before it do not mix with those after it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """Holds a value of this process. Needs no fork handler and no lock.

    :param make: makes the value at the first use in a process.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: dict[object, T] = {}

    def get(self) -> T:
        """Returns the value of this process, and drops the others."""
        key = os.getpid(), threading.Lock
        value = self._values.get(key)
        if value is None:
            value = self._values.setdefault(key, self._make())
            for other in list(self._values):
                if other != key:
                    self._values.pop(other, None)
        return value
