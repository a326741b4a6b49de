"""Delays before retries: pure values, without a clock.

A call of the API that failed, or whose answer is too old, is retried after :data:`RETRY_SECONDS`.
The stream is reopened after a full-jitter exponential backoff, see :class:`Reconnect`.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

#: A number between 0 and 1. Tests pass their own.
Random = Callable[[], float]

#: The delays of a call's retries: about a minute in all, which is how long a Flagsmith of several
#: server processes may serve an old answer.
RETRY_SECONDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)

#: Longer values of Retry-After are shortened: a mistake of the server must not last for a day.
LONGEST_RETRY_AFTER_SECONDS = 600.0

_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 30.0
_REFUSED_SECONDS = 300.0
#: The end of a connection that was open for this long is not a failure.
_LIVED_SECONDS = 0.5
#: The least time from one opening to the next, unless the connection failed.
_SPACING_SECONDS = 1.0


def jitter(seconds: float, random: Random = random.random) -> float:
    """Varies a delay by ±10 %, so that processes started together do not call together."""
    return seconds * (0.9 + 0.2 * random())


def retry_delay(tries: int, random: Random = random.random) -> float:
    """Returns the delay of a call's next retry, in seconds.

    The jitter only ever adds: the last retry must not come before the minute is over.

    :param tries: the number of retries so far.
    """
    return RETRY_SECONDS[tries] * (1.0 + 0.2 * random())


def bounded_retry_after(seconds: float | None) -> float | None:
    """Limits the seconds of a Retry-After to a delay that is sensible."""
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)


class Reconnect(Struct, frozen=True):
    """The backoff of the stream's reconnects: full-jitter exponential, from 1 s to 30 s.

    Each method returns the delay in seconds and the next value.

    :param failures: the number of failures in a row.
    :param base: the first delay in seconds, which the server's ``retry:`` sets.
    """

    failures: int = 0
    base: float = _FIRST_SECONDS

    def with_retry(self, seconds: float) -> Reconnect:
        """Uses the server's ``retry:`` as the base of the delays after failures."""
        return replace(self, base=min(max(seconds, _FIRST_SECONDS), _LONGEST_SECONDS))

    def after_connection(
        self, lived: float, random: Random = random.random
    ) -> tuple[float, Reconnect]:
        """Returns the delay after a connection that ended ``lived`` seconds after its opening.

        Flagsmith ends healthy connections every 30 s, so this is not a failure: the next one
        follows within a second, with jitter for the sake of the service. The server's ``retry:`` is
        for failures; 15 s after each healthy connection would leave flags stale for that long.
        """
        if lived < _LIVED_SECONDS:
            return self.after_failure(random)
        delay = max(random() * _SPACING_SECONDS, _SPACING_SECONDS - lived)
        # One that ends within the spacing counts neither as a failure nor as a recovery.
        return delay, self if lived < _SPACING_SECONDS else replace(self, failures=0)

    def after_failure(
        self, random: Random = random.random, retry_after: float | None = None
    ) -> tuple[float, Reconnect]:
        """Returns the delay after the stream could not be opened, or broke at once.

        :param retry_after: the server's Retry-After, in seconds. The jitter only ever adds to it.
        """
        # The exponent is bounded, since failures are counted while a stream is down for days.
        ceiling = min(self.base * 2.0 ** min(self.failures, 10), _LONGEST_SECONDS)
        delay = random() * ceiling
        asked = bounded_retry_after(retry_after)
        if asked is not None:
            # A server may answer with 'Retry-After: 0' every time: the backoff applies as well.
            delay = max(delay, asked + min(delay, 0.1 * asked + 1.0))
        return delay, replace(self, failures=self.failures + 1)

    def after_refusal(
        self, retry_after: float | None, random: Random = random.random
    ) -> tuple[float, Reconnect]:
        """Returns the delay after a refusal, which lasts until a plan or a setting is changed."""
        delay = jitter(_REFUSED_SECONDS, random)
        asked = bounded_retry_after(retry_after)
        return max(delay, asked or 0.0), replace(self, failures=self.failures + 1)
