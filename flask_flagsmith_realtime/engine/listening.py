"""At most one listener, begun and ended as the refresher says.

In a fleet a process listens for as long as it leads or is alone, so there may be many listeners in
its life, one after the other: each start makes a new one, in a thread of its own. The refresher's
thread starts and stops; whoever stops the engine may do so too. A lock keeps them apart, and nobody
waits with it.
"""

from __future__ import annotations

import threading

from ..config import Config
from ..monitoring import Activity
from ..processes import make_thread, start_thread
from .listener import Listener
from .mailbox import Mailbox


class Listening:
    """Whether this process listens to the stream.

    :param config: the app's settings.
    :param mailbox: where announced epochs go.
    :param activity: where to write down what happens.
    """

    def __init__(self, config: Config, mailbox: Mailbox, activity: Activity) -> None:
        self._config = config
        self._mailbox = mailbox
        self._activity = activity
        self._lock = threading.Lock()
        self._listener: Listener | None = None
        self._ended = False
        #: The thread of the newest listener.
        self.thread: threading.Thread | None = None

    def start(self, environment_id: str) -> None:
        """Listen to an environment's stream from now on, unless that is so already, or there can be
        no thread for it: then the next start tries again."""
        with self._lock:
            if self._listener is not None or self._ended:
                return
            if not self._config.enable_realtime_updates:
                return
            listener = Listener(self._config, self._mailbox, activity=self._activity)
            thread = make_thread("flagsmith-listener", listener.run, environment_id)
            if start_thread(thread):
                self._listener, self.thread = listener, thread

    def stop(self) -> None:
        """Listen no more, until the next start."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop()

    def end(self) -> None:
        """Listen no more."""
        self._ended = True
        self.stop()
