"""The open streams.

Each listener has a queue. The thread that announces an epoch puts it in and never waits; the thread
that answers the stream's request takes it out, and owns the listener until the stream ends.
"""

from __future__ import annotations

import queue
import threading

#: As many streams can be open; a further one is refused.
MAX_STREAMS = 1000


class TooManyStreamsError(Exception):
    """:data:`MAX_STREAMS` are open."""


class Listener:
    """One open stream."""

    def __init__(self) -> None:
        self._epochs: queue.SimpleQueue[float | None] = queue.SimpleQueue()

    def announce(self, epoch: float) -> None:
        """Queues an epoch."""
        self._epochs.put(epoch)

    def end(self) -> None:
        """Asks the stream to end, after the epochs in the queue."""
        self._epochs.put(None)

    def take(self, timeout: float) -> float | None:
        """Waits for the next epoch.

        :param timeout: the longest wait, in seconds.
        :returns: the epoch, or ``None`` if the stream must end.
        :raises queue.Empty: if there is none in time.
        """
        return self._epochs.get(timeout=max(timeout, 0))


class Listeners:
    """All open streams. Any thread may call anything."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: set[Listener] = set()
        self._opened = 0

    def join(self) -> Listener:
        """Opens a stream.

        :raises TooManyStreamsError: if there are too many.
        """
        with self._changed:
            if len(self._open) >= MAX_STREAMS:
                raise TooManyStreamsError
            listener = Listener()
            self._open.add(listener)
            self._opened += 1
            self._changed.notify_all()
        return listener

    def leave(self, listener: Listener) -> None:
        """Removes a stream that has ended. Idempotent."""
        with self._changed:
            self._open.discard(listener)
            self._changed.notify_all()

    def announce(self, epoch: float) -> None:
        """Queues an epoch on all streams."""
        with self._changed:
            for listener in self._open:
                listener.announce(epoch)

    def end_all(self) -> None:
        """Ends all streams that are open now."""
        with self._changed:
            for listener in self._open:
                listener.end()

    @property
    def count(self) -> int:
        """The number of open streams."""
        with self._changed:
            return len(self._open)

    @property
    def opened(self) -> int:
        """The number of streams that were opened so far."""
        with self._changed:
            return self._opened

    def wait_for(self, count: int, timeout: float) -> bool:
        """Waits until exactly so many streams are open.

        :param timeout: the longest wait, in seconds.
        :returns: whether they are.
        """
        with self._changed:
            return self._changed.wait_for(lambda: len(self._open) == count, timeout)
