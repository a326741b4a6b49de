"""How long to wait before the next try: pure values, without a clock.

Two kinds of waiting. An answer of the API that is missing or too old is asked for again after
:data:`RETRY_SECONDS`. The stream is opened again after a full-jitter exponential delay, see
:class:`Reconnect`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

#: A number between 0 and 1. Tests pass their own.
Random = Callable[[], float]

#: When an answer is asked for again: about a minute in all, which is how long a Flagsmith of
#: several server processes may serve an old answer.
RETRY_SECONDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)

#: Longest that a Retry-After is honoured: a server's mistake must not silence the client for a day.
LONGEST_RETRY_AFTER_SECONDS = 600.0

_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 30.0
_REFUSED_SECONDS = 300.0
#: A connection that was open for this long has lived: its end is no failure.
_LIVED_SECONDS = 0.5
#: Two connections are never opened closer together than this, once one has lived.
_SPACING_SECONDS = 1.0


def jitter(seconds: float, random: Random = random.random) -> float:
    """Vary a delay by ±10 %, so that processes started together do not stay in step."""
    return seconds * (0.9 + 0.2 * random())


def retry_delay(tries: int, random: Random = random.random) -> float:
    """How long to wait before an answer is asked for again.

    The jitter only ever adds: the last try must not come before the minute is over.

    :param tries: how many times it has been asked for again already.
    """
    return RETRY_SECONDS[tries] * (1.0 + 0.2 * random())


def bounded_retry_after(seconds: float | None) -> float | None:
    """Bound what a server asked for by Retry-After to something that can be honoured."""
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)


@dataclass(frozen=True)
class Reconnect:
    """How long to wait before the stream is opened again.

    Full-jitter exponential from 1 s to 30 s. Each method returns the delay in seconds and the
    value to go on with.

    :param failures: how many tries have failed in a row.
    :param base: the first delay in seconds, as the server's ``retry:`` asks.
    """

    failures: int = 0
    base: float = _FIRST_SECONDS

    def with_retry(self, seconds: float) -> Reconnect:
        """Take the server's ``retry:`` as the base of the delays after failures."""
        return replace(self, base=min(max(seconds, _FIRST_SECONDS), _LONGEST_SECONDS))

    def after_connection(
        self, lived: float, random: Random = random.random
    ) -> tuple[float, Reconnect]:
        """A connection ended after ``lived`` seconds.

        Flagsmith recycles healthy connections every 30 s, so this is no failure: the next one
        follows at once, spread over a second for the sake of the service. The server's ``retry:``
        is for failures; waiting 15 s after each recycling would leave flags stale for that long.
        """
        if lived < _LIVED_SECONDS:
            return self.after_failure(random)
        delay = max(random() * _SPACING_SECONDS, _SPACING_SECONDS - lived)
        # One that ends within the spacing is neither a failure nor a recovery.
        return delay, self if lived < _SPACING_SECONDS else replace(self, failures=0)

    def after_failure(self, random: Random = random.random) -> tuple[float, Reconnect]:
        """The stream could not be opened, or broke at once."""
        # The exponent is bounded: it goes on counting while a stream is down for days.
        ceiling = min(self.base * 2.0 ** min(self.failures, 10), _LONGEST_SECONDS)
        return random() * ceiling, replace(self, failures=self.failures + 1)

    def after_refusal(
        self, retry_after: float | None, random: Random = random.random
    ) -> tuple[float, Reconnect]:
        """The server said no: it will say so again, until somebody changes a plan or a setting."""
        delay = jitter(_REFUSED_SECONDS, random)
        asked = bounded_retry_after(retry_after)
        return max(delay, asked or 0.0), replace(self, failures=self.failures + 1)

    def after_overload(
        self, retry_after: float, random: Random = random.random
    ) -> tuple[float, Reconnect]:
        """The server named the time to come back. The jitter only ever adds to it."""
        asked = bounded_retry_after(retry_after) or 0.0
        delay, following = self.after_failure(random)
        # It may have named no time at all, and go on so: then this is a failure like others.
        return max(delay, asked + min(delay, 0.1 * asked + 1.0)), following
