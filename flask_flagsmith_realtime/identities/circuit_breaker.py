"""A circuit breaker for a server that many threads call. Pure.

While the server answers, all calls go through. After a failure none does for a while, which grows
from failure to failure; then one call tries the server, and the others are refused until its
result. The owner of a :class:`CircuitBreaker` protects it by a lock.
"""

from __future__ import annotations

import math
import random

import msgspec

from ..client import RETRY_SECONDS, Random, bounded_retry_after, retry_delay


class CircuitBreaker(msgspec.Struct):
    """Lets calls through, or refuses them. Times are seconds of any monotonic clock.

    :param random: returns numbers between 0 and 1, for the jitter.
    """

    random: Random = random.random

    _failures: int = 0
    _closed_until: float = -math.inf
    _is_tried: bool = False

    def enter(self, now: float) -> bool:
        """Returns ``True`` if a call may begin. Then :meth:`worked`, :meth:`failed` or
        :meth:`given_up` has to follow."""
        if not self._failures:
            return True
        if self._is_tried or now < self._closed_until:
            return False
        self._is_tried = True
        return True

    def worked(self) -> None:
        """Notes a call that was answered."""
        self._failures = 0
        self._is_tried = False

    def failed(self, now: float, retry_after: float | None = None) -> None:
        """Notes a call that failed.

        :param retry_after: the server's Retry-After, in seconds.
        """
        self._is_tried = False
        if now >= self._closed_until:
            # Of several calls that were under way together, the first failure counts.
            tries = min(self._failures, len(RETRY_SECONDS) - 1)
            self._closed_until = now + retry_delay(tries, self.random)
            self._failures += 1
        asked = bounded_retry_after(retry_after)
        if asked is not None:
            self._closed_until = max(self._closed_until, now + asked)

    def given_up(self) -> None:
        """Notes a call that ended and proves nothing about the server."""
        self._is_tried = False
