"""Waiting for an epoch that a browser knows from another process."""

from __future__ import annotations

import time

from ..engine import Engine
from ..model import parse_epoch

#: Clocks of machines differ. An epoch further ahead than this is no epoch of Flagsmith's.
_MOST_AHEAD_SECONDS = 60.0


def wait_for_epoch(engine: Engine, epoch: str | float | None, timeout: float) -> bool:
    """Waits until this process holds an epoch.

    :param epoch: the epoch, or the text that a browser sent for it.
    :param timeout: the longest wait, in seconds.
    :returns: ``True`` if it holds that epoch or a newer one.
    """
    wanted = parse_epoch(str(epoch))
    if wanted is None or wanted > time.time() + _MOST_AHEAD_SECONDS:
        return False
    deadline = time.monotonic() + timeout
    change: object | None = engine.wait_for_change(None, 0)
    while True:
        snapshot = engine.read()
        if snapshot is not None and snapshot.epoch is not None and snapshot.epoch >= wanted:
            return True
        left = deadline - time.monotonic()
        if left <= 0 or change is None:
            return False
        change = engine.wait_for_change(change, left)
