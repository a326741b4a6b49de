"""Whether a server that many threads want to ask may be asked. Pure.

While the server answers, everybody may ask. When a call has failed nobody may for a while, which
grows from failure to failure; then one may try, and the others wait for what comes of it. Whoever
owns a :class:`CircuitBreaker` guards it by a lock.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from ..client import RETRY_SECONDS, Random, bounded_retry_after, retry_delay


@dataclass
class CircuitBreaker:
    """Lets calls through, or not. Times are seconds of any monotonic clock.

    :param random: a source of numbers between 0 and 1, for the jitter.
    """

    random: Random = random.random

    _failures: int = field(default=0, init=False)
    _closed_until: float = field(default=-math.inf, init=False)
    _is_tried: bool = field(default=False, init=False)

    def enter(self, now: float) -> bool:
        """Whether a call may begin. If so, :meth:`worked`, :meth:`failed` or :meth:`given_up` has
        to follow."""
        if not self._failures:
            return True
        if self._is_tried or now < self._closed_until:
            return False
        self._is_tried = True
        return True

    def worked(self) -> None:
        """A call was answered."""
        self._failures = 0
        self._is_tried = False

    def failed(self, now: float, retry_after: float | None = None) -> None:
        """A call failed.

        :param retry_after: how long the server asked to be left alone, in seconds.
        """
        self._is_tried = False
        if now >= self._closed_until:
            # Of several that were under way together, the first one counts.
            tries = min(self._failures, len(RETRY_SECONDS) - 1)
            self._closed_until = now + retry_delay(tries, self.random)
            self._failures += 1
        asked = bounded_retry_after(retry_after)
        if asked is not None:
            self._closed_until = max(self._closed_until, now + asked)

    def given_up(self) -> None:
        """A call ended without telling how the server is."""
        self._is_tried = False
