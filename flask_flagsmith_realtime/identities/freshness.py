"""Decides whether a kept answer for an identity is still fresh, in remote evaluation. Pure.

An answer is kept for a TTL, and no longer than the environment stays as it is. The epoch in an
answer's header may lag behind its flags by a minute, and come old and new by turns. So a new
*generation* of the environment begins with each announced change, when the environment's flags
differ, and when its epoch moves: the first for a segment's rule, which shows nowhere else; the last
for a change that no event announced. The same state again costs nothing.

A server that announces a change before it commits it may still answer with the old flags. An answer
whose header is behind the announced epoch is therefore asked for again at a later read: a second
after the first one, then five. So one change costs at most four calls for an identity.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from dataclasses import dataclass

from ..model import Flag, Snapshot

#: When an answer with an old header is asked for again, in seconds after the first one.
CONFIRMATION_SECONDS = (1.0, 5.0)


class Generations:
    """Numbers the states of an environment. A new state makes all kept answers stale."""

    def __init__(self) -> None:
        self._newest: Snapshot | None = None
        self._seen: weakref.WeakSet[Snapshot] = weakref.WeakSet()
        self._number = 0

    @property
    def announced(self) -> float | None:
        """The epoch of the last announced change."""
        return None if self._newest is None else self._newest.announced

    def of(self, snapshot: Snapshot) -> int:
        """Returns the number of the newest state, which may be that of a snapshot.

        :param snapshot: the request's; a long request may have an older one.
        """
        newest = self._newest
        if snapshot is newest:
            return self._number
        if newest is not None:
            if snapshot in self._seen or _is_older(snapshot, newest):
                return self._number
            if _is_new(snapshot, newest):
                self._number += 1
        self._newest = snapshot
        self._seen.add(snapshot)
        return self._number


def _is_older(snapshot: Snapshot, newest: Snapshot) -> bool:
    if snapshot.epoch is None or newest.epoch is None:
        return False
    # An older epoch that was fetched later: the environment was restored.
    return snapshot.epoch < newest.epoch and snapshot.fetched_at <= newest.fetched_at


def _is_new(snapshot: Snapshot, newest: Snapshot) -> bool:
    return (
        snapshot.epoch != newest.epoch
        or snapshot.announced != newest.announced
        or not snapshot.has_same_content(newest)
    )


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The last answer for an identity. Moments are of the monotonic clock.

    :param flags: the flags; ``None`` if Flagsmith never answered.
    :param generation: the generation in which it was asked for.
    :param asked_at: when it was asked for.
    :param confirm_at: when it has to be asked for again, since its header was old.
    :param announced: the announced epoch at that time.
    :param first_at: when the first answer since that announcement was asked for.
    :param count: the number of answers since then.
    :param retry_at: the end of the time after a refusal.
    """

    flags: Mapping[str, Flag] | None = None
    generation: int = 0
    asked_at: float = -math.inf
    confirm_at: float = math.inf
    announced: float | None = None
    first_at: float = -math.inf
    count: int = 0
    retry_at: float = -math.inf

    def is_fresh(self, generation: int, now: float, ttl: float) -> bool:
        """Returns ``True`` if the answer can serve.

        :param ttl: how long an answer is kept, in seconds.
        """
        return self.generation == generation and now - self.asked_at < ttl and now < self.confirm_at

    def followed_by(
        self,
        flags: Mapping[str, Flag],
        generation: int,
        asked_at: float,
        announced: float | None,
        epoch: float | None,
    ) -> KeptAnswer:
        """Returns the value for the next answer.

        :param announced: the epoch of the last announced change.
        :param epoch: the epoch in the answer's header.
        """
        is_first = announced != self.announced or not self.count
        first_at = asked_at if is_first else self.first_at
        count = 1 if is_first else self.count + 1
        is_behind = announced is not None and epoch is not None and epoch < announced
        confirm_at = math.inf
        if is_behind and count <= len(CONFIRMATION_SECONDS):
            confirm_at = first_at + CONFIRMATION_SECONDS[count - 1]
        return KeptAnswer(flags, generation, asked_at, confirm_at, announced, first_at, count)
