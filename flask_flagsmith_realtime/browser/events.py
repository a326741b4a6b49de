"""The events of one stream. Pure.

They look like those of Flagsmith's stream, so that Flagsmith's JavaScript SDK takes them: an event
holds the epoch of the snapshot that this process serves, and no flags.
"""

from __future__ import annotations

import json
import math

HEARTBEAT = ": still here\n\n"


def retry(milliseconds: int) -> str:
    """Returns the line that sets the delay before the browser connects again."""
    return f"retry: {milliseconds}\n\n"


def parse_epoch(text: str | None) -> float | None:
    """Returns the epoch that a browser sends; ``None`` if it sends none, or anything else."""
    try:
        epoch = float(text or "")
    except ValueError:
        return None
    return epoch if math.isfinite(epoch) else None


class Events:
    """Decides which snapshots one browser has to know of.

    :param known: the epoch that the browser holds; ``None`` if it did not say.
    """

    def __init__(self, known: float | None) -> None:
        self._known = known
        #: The epoch of the snapshot that this process served before.
        self._served: float | None = None

    def begin(self, epoch: float | None) -> str | None:
        """Returns the first event: ``None`` if the browser holds that epoch, or a newer one.

        :param epoch: the epoch of the snapshot that this process serves.
        """
        self._served = epoch
        return self._newer(epoch) if epoch is not None or self._known is None else None

    def changed(self, epoch: float | None) -> str | None:
        """Returns the event for another snapshot; ``None`` if the browser knows of it from another
        process.

        A snapshot can differ although its epoch is not newer: in remote evaluation the epoch lags
        behind the flags. The event then holds no epoch, which makes a browser fetch.

        :param epoch: the epoch of the snapshot that this process serves.
        """
        before, self._served = self._served, epoch
        if epoch is None or (before is not None and epoch <= before):
            return _event(None)
        return self._newer(epoch)

    def _newer(self, epoch: float | None) -> str | None:
        if epoch is None:
            return _event(None)
        if self._known is not None and epoch <= self._known:
            return None
        self._known = epoch
        return _event(epoch)


def _event(epoch: float | None) -> str:
    identifier = "" if epoch is None else f"id: {epoch!r}\n"
    data = json.dumps({"updated_at": epoch})
    return f"event: environment_updated\n{identifier}data: {data}\n\n"
