"""The listener: keeps the stream open and puts what it announces into the mailbox.

Runs in a thread of its own, which owns the connection, the delays and the log's episodes. Other
threads only call :meth:`Listener.stop`. A forked child makes a new listener; the parent's
connection is closed there by :func:`~flask_flagsmith_realtime.processes.close_after_fork`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import traceback

from .. import logs
from ..client import (
    ChangeEvent,
    Reconnect,
    Sockets,
    Stream,
    StreamError,
    StreamOverloadedError,
    StreamProtocolError,
    StreamRefusedError,
)
from ..config import Config
from ..logs import OncePerCause
from ..monitoring import Activity
from .mailbox import Connected, Disconnected, Mailbox

logger = logging.getLogger(__name__)

#: After so many connections in a row that ended at once, the log says so: one may be a restart.
_CURT_CONNECTIONS = 3


class Listener:
    """Listens to one environment's stream, for as long as it takes.

    :param config: the app's settings.
    :param mailbox: where announced epochs go.
    :param reconnect: the delays between connections, as they are at the start.
    :param activity: where to write down what happens.
    """

    def __init__(
        self,
        config: Config,
        mailbox: Mailbox,
        reconnect: Reconnect | None = None,
        activity: Activity | None = None,
    ) -> None:
        self._config = config
        self._mailbox = mailbox
        self._activity = activity or Activity()
        self._process = os.getpid()
        self._stopping = threading.Event()
        self._sockets = Sockets()
        self._reconnect = reconnect or Reconnect()
        self._episode = OncePerCause(logger, "stream", "Flagsmith's stream is open again.")
        # Some troubles may come again with each connection that opens: they have no recovery.
        self._once = OncePerCause(logger, "stream", "")

    def run(self, environment_id: str) -> None:
        """Listen until :meth:`stop` is called.

        :param environment_id: the environment's client-side key.
        """
        while not self._is_over():
            self._stopping.wait(self._connect(environment_id))

    def stop(self) -> None:
        """End the work, also while it waits for an answer or an event."""
        self._stopping.set()
        self._sockets.end()

    def _is_over(self) -> bool:
        # Gevent's threads are copied into a forked child, where they are to do nothing.
        return self._stopping.is_set() or self._process != os.getpid()

    def _connect(self, environment_id: str) -> float:
        """Open the stream once, read it to its end, and say in the log what is wrong with it.

        :returns: the delay in seconds until it should be opened again.
        """
        try:
            return self._listen(environment_id)
        except StreamRefusedError as error:
            self._trouble(
                f"was refused: {error}. Real-time updates need a plan that includes them and "
                "'Enable real-time updates' in the project's settings; a stream of your own is set "
                "by FLAGSMITH_REALTIME_API_URL. Set FLAGSMITH_ENABLE_REALTIME_UPDATES to False if "
                "polling is what you want."
            )
            delay, self._reconnect = self._reconnect.after_refusal(error.retry_after)
        except StreamError as error:
            self._trouble(f"is not available: {error}. It is tried again.")
            if isinstance(error, StreamOverloadedError):
                delay, self._reconnect = self._reconnect.after_overload(error.retry_after)
            else:
                delay, self._reconnect = self._reconnect.after_failure()
        except Exception:
            # The thread must outlive a mistake of ours: without it no change would be seen.
            self._once.problem(
                f"Listening to Flagsmith's stream failed unexpectedly. {traceback.format_exc()}"
            )
            delay, self._reconnect = self._reconnect.after_failure()
        return delay

    def _listen(self, environment_id: str) -> float:
        """Open the stream once and read it to its end.

        :returns: the delay in seconds until it should be opened again.
        """
        with Stream(self._config, environment_id, self._sockets) as stream:
            opened_at = time.monotonic()
            self._activity.connected()
            self._mailbox.transition(Connected())
            reason = "the server ended the connection"
            is_odd = False
            try:
                self._read(stream)
            except StreamError as error:
                reason = str(error)
                if not self._stopping.is_set():
                    self._activity.stream_failed(f"Flagsmith's stream broke: {reason}.")
                is_odd = isinstance(error, StreamProtocolError)
            finally:
                self._activity.disconnected()
                self._mailbox.transition(Disconnected(reason))
        lived = time.monotonic() - opened_at
        logger.debug(
            "Flagsmith's stream ended after %.1f s: %s.",
            lived,
            reason,
            extra=logs.fields("stream_ended", seconds=lived),
        )
        delay, self._reconnect = self._reconnect.after_connection(lived)
        if self._reconnect.failures == 0:
            self._episode.recovered()
        if is_odd:
            self._warn_of_nonsense(reason)
        elif self._reconnect.failures >= _CURT_CONNECTIONS:
            self._warn_of_nonsense(f"its connections end at once: {reason}")
        return delay

    def _read(self, stream: Stream) -> None:
        for event in stream.events():
            self._episode.recovered()
            self._activity.event()
            if not isinstance(event, ChangeEvent):
                self._warn_of_nonsense(f"an event of it was ignored: {event.reason}")
                continue
            if event.retry is not None:
                self._reconnect = self._reconnect.with_retry(event.retry)
            self._mailbox.announce(event.epoch)

    def _trouble(self, what: str) -> None:
        if self._is_over():
            return
        message = (
            f"Flagsmith's stream at {self._config.realtime_api_url} {what} Until then flags are "
            f"fetched every {self._config.environment_refresh_interval_seconds:g} s."
        )
        self._activity.stream_failed(message)
        self._episode.problem(message)

    def _warn_of_nonsense(self, what: str) -> None:
        if self._is_over():
            return
        self._once.problem(
            f"Flagsmith's stream at {self._config.realtime_api_url} is odd: {what}. Is "
            "FLAGSMITH_REALTIME_API_URL right, and what stands in between?"
        )
