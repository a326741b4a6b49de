"""The events of one stream. Pure.

They look like those of Flagsmith's stream, so that Flagsmith's JavaScript SDK takes them: an event
holds the epoch of the snapshot that this process serves, and no flags.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

#: Something is sent in this interval. It shows proxies that the stream lives, and this process that
#: the browser does.
HEARTBEAT_SECONDS = 20.0
#: The delays before an event is repeated, before it is at each heartbeat.
REPEAT_SECONDS = (0.25, 1.0, 4.0)

_HEARTBEAT = ": still here\n\n"


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

    def next_delay(self) -> float:
        """Returns after how many seconds without an event :meth:`quiet` is sent."""
        return HEARTBEAT_SECONDS

    def quiet(self) -> str:
        """Returns what is sent while there is no event."""
        return _HEARTBEAT

    def _newer(self, epoch: float | None) -> str | None:
        if epoch is None:
            return _event(None)
        if self._known is not None and epoch <= self._known:
            return None
        self._known = epoch
        return _event(epoch)


class RepeatedEvents(Events):
    """The events for Flagsmith's SDK, which fetches once for each epoch that is newer than its own.

    Another process, which is a moment behind, may have answered it with older flags. So the last
    event is repeated: the SDK fetches again then, and ignores the event if it has that epoch.
    """

    def __init__(self, known: float | None) -> None:
        super().__init__(known)
        self._delays: Iterator[float] = iter(())
        self._last = super().quiet()

    def next_delay(self) -> float:
        return next(self._delays, HEARTBEAT_SECONDS)

    def quiet(self) -> str:
        return self._last

    def _newer(self, epoch: float | None) -> str | None:
        event = super()._newer(epoch)
        if event is not None and epoch is not None:
            self._last, self._delays = event, iter(REPEAT_SECONDS)
        return event


def _event(epoch: float | None) -> str:
    identifier = "" if epoch is None else f"id: {epoch!r}\n"
    data = json.dumps({"updated_at": epoch})
    return f"event: environment_updated\n{identifier}data: {data}\n\n"
