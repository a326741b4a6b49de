"""The listener: keeps the stream open and puts the announced epochs into the mailbox.

It runs in a thread of its own, which owns the connection and the delays between connections. Other
threads call :meth:`Listener.start` and :meth:`Listener.stop` only. A forked child makes a new
listener; the child's copy of the connection is closed there.
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
    StreamProtocolError,
    StreamRefusedError,
)
from ..config import Config
from ..logs import BackgroundLogger, OncePerCause
from ..monitoring import Activity, Trouble
from ..processes import start_thread
from .mailbox import Mailbox

logger = BackgroundLogger(logging.getLogger(__name__))

#: After so many connections in a row that ended at once, the log names it: one may be a restart.
_SHORT_CONNECTIONS = 3


class Listener:
    """Keeps one environment's stream open from its start to its stop.

    :param reconnect: the delays between connections, as they are at the start.
    """

    def __init__(
        self,
        config: Config,
        mailbox: Mailbox,
        activity: Activity,
        reconnect: Reconnect | None = None,
    ) -> None:
        self._config = config
        self._mailbox = mailbox
        self._activity = activity
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._sockets = Sockets()
        self._reconnect = reconnect or Reconnect()
        self._failures = OncePerCause(logger, "stream", "Flagsmith's stream is open again.")
        # Some causes come again with each connection that opens: they have no recovery.
        self._oddities = OncePerCause(logger, "stream", "")
        #: Its thread, once it is started.
        self.thread: threading.Thread | None = None

    def start(self, environment_id: str) -> None:
        """Starts the thread, unless it runs already or the settings turn the stream off. If it
        cannot be started, the next call tries again."""
        if not self._config.enable_realtime_updates:
            return
        with self._lock:
            if self.thread is None and not self._stopping.is_set():
                self.thread = start_thread("flagsmith-listener", self.run, environment_id)

    def stop(self) -> None:
        """Ends the work, also while it waits for an answer or an event."""
        self._stopping.set()
        self._sockets.end()

    def run(self, environment_id: str) -> None:
        """Listens until :meth:`stop`: the thread's work."""
        while not self._is_over():
            self._stopping.wait(self._connect(environment_id))

    def _is_over(self) -> bool:
        # gevent copies greenlets into a forked child, where they have to end.
        return self._stopping.is_set() or self._process != os.getpid()

    def _connect(self, environment_id: str) -> float:
        """Opens the stream once, reads it to its end, and logs its failure.

        :returns: the delay in seconds before the next connection.
        """
        try:
            return self._listen(environment_id)
        except StreamRefusedError as error:
            self._log_failure(
                f"was refused: {error}. Real-time updates need a plan that includes them and "
                "'Enable real-time updates' in the project's settings; a stream of your own is set "
                "by FLAGSMITH_REALTIME_API_URL. Set FLAGSMITH_ENABLE_REALTIME_UPDATES to False if "
                "polling is what you want."
            )
            delay, self._reconnect = self._reconnect.after_refusal(error.retry_after)
        except StreamError as error:
            self._log_failure(f"is not available: {error}. It is tried again.")
            delay, self._reconnect = self._reconnect.after_failure(retry_after=error.retry_after)
        except Exception:
            # The thread survives an unexpected error: without it no change would be seen.
            self._oddities.problem(
                f"Listening to Flagsmith's stream failed unexpectedly. {traceback.format_exc()}"
            )
            delay, self._reconnect = self._reconnect.after_failure()
        return delay

    def _listen(self, environment_id: str) -> float:
        """Opens the stream once and reads it to its end.

        :returns: the delay in seconds before the next connection.
        """
        with Stream(self._config, environment_id, self._sockets) as stream:
            opened_at = time.monotonic()
            self._activity.connected()
            self._mailbox.connected()
            reason = "the server ended the connection"
            is_odd = False
            try:
                self._read(stream)
            except StreamError as error:
                reason = str(error)
                if not self._stopping.is_set():
                    self._activity.trouble = Trouble(f"Flagsmith's stream broke: {reason}.")
                is_odd = isinstance(error, StreamProtocolError)
            finally:
                self._activity.disconnected()
                self._mailbox.disconnected(reason)
        lived = time.monotonic() - opened_at
        logger.debug(
            "Flagsmith's stream ended after %.1f s: %s.",
            lived,
            reason,
            extra=logs.fields("stream_ended", seconds=lived),
        )
        delay, self._reconnect = self._reconnect.after_connection(lived)
        if self._reconnect.failures == 0:
            self._failures.recovered()
        if is_odd:
            self._log_oddity(reason)
        elif self._reconnect.failures >= _SHORT_CONNECTIONS:
            self._log_oddity(f"its connections end at once: {reason}")
        return delay

    def _read(self, stream: Stream) -> None:
        for event in stream.events():
            self._failures.recovered()
            self._activity.event_at = time.monotonic()
            if not isinstance(event, ChangeEvent):
                self._log_oddity(f"an event of it was ignored: {event.reason}")
                continue
            if event.retry is not None:
                self._reconnect = self._reconnect.with_retry(event.retry)
            self._mailbox.announce(event.epoch)

    def _log_failure(self, what: str) -> None:
        if self._is_over():
            return
        message = (
            f"Flagsmith's stream at {self._config.realtime_api_url} {what} Until then flags are "
            f"fetched every {self._config.environment_refresh_interval_seconds:g} s."
        )
        self._activity.trouble = Trouble(message)
        self._failures.problem(message)

    def _log_oddity(self, what: str) -> None:
        if self._is_over():
            return
        self._oddities.problem(
            f"Flagsmith's stream at {self._config.realtime_api_url} is odd: {what}. Is "
            "FLAGSMITH_REALTIME_API_URL right, and what stands in between?"
        )
