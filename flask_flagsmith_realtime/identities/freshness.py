"""Decides whether a kept answer for an identity is still fresh, in remote evaluation. Pure.

An answer is kept for a TTL, and no longer than the environment stays as it is. The epoch in an
answer's header may lag behind its flags by a minute, and come old and new by turns. So the *state*
of the environment is its epoch, its flags and the epoch of the last announced change. The latter
differs where a segment's rule has changed, which shows nowhere else; the first where no event
announced the change. The same state again costs nothing.

A server that announces a change before it commits it may still answer with the old flags. An answer
whose header is behind the announced epoch is therefore asked for again at a later read: after a
second, and once more after four. So one change costs at most four calls for an identity.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping

import msgspec

from ..model import Flag, Snapshot

#: When an answer with an old header is asked for again, in seconds after it was asked for.
CONFIRMATION_SECONDS = (1.0, 4.0)


def state_of(snapshot: Snapshot) -> Hashable:
    """Returns the state of the environment: an answer for an identity is fresh under one state."""
    # The digest includes the epoch of the last announced change.
    return snapshot.epoch, snapshot.content_digest


class KeptAnswer(msgspec.Struct, frozen=True):
    """The last answer for an identity. Moments are of the monotonic clock.

    :param flags: the flags; ``None`` if Flagsmith never answered.
    :param state: the state of the environment in which it was asked for.
    :param asked_at: when it was asked for.
    :param confirm_at: when it has to be asked for again, since its header was old.
    :param announced: the announced epoch at that time.
    :param count: the number of answers since that announcement.
    :param retry_at: the end of the time after a refusal.
    """

    flags: Mapping[str, Flag] | None = None
    state: Hashable = None
    asked_at: float = -math.inf
    confirm_at: float = math.inf
    announced: float | None = None
    count: int = 0
    retry_at: float = -math.inf

    def is_fresh(self, state: Hashable, now: float, ttl: float) -> bool:
        """Returns ``True`` if the answer can serve.

        :param ttl: how long an answer is kept, in seconds.
        """
        return self.state == state and now - self.asked_at < ttl and now < self.confirm_at

    def followed_by(
        self,
        flags: Mapping[str, Flag],
        state: Hashable,
        asked_at: float,
        announced: float | None,
        epoch: float | None,
    ) -> KeptAnswer:
        """Returns the value for the next answer.

        :param announced: the epoch of the last announced change.
        :param epoch: the epoch in the answer's header.
        """
        count = self.count if announced == self.announced else 0
        is_behind = announced is not None and epoch is not None and epoch < announced
        confirm_at = math.inf
        if is_behind and count < len(CONFIRMATION_SECONDS):
            confirm_at = asked_at + CONFIRMATION_SECONDS[count]
        return KeptAnswer(flags, state, asked_at, confirm_at, announced, count + 1)
