"""The threads of the engine: named daemons that end with the process."""

from __future__ import annotations

import contextvars
import logging
import os
import threading
from collections.abc import Callable

from ..logs import OncePerCause

logger = logging.getLogger(__name__)

#: Starting is tried whenever flags are read or fetched.
_once = OncePerCause(logger, "thread", "")


def make_thread(name: str, target: Callable[..., None], *args: object) -> threading.Thread:
    """Make a thread, not started yet.

    :param name: what a debugger or a profiler shows.
    """
    maker = os.getpid()

    def run() -> None:
        # In a context of its own: gevent, and some Pythons, have it inherit that of who starts it,
        # and with it a request that is long over.
        contextvars.Context().run(target, *args)
        if os.getpid() != maker:
            # A greenlet of gevent's that a fork has copied. Python has forgotten this thread, and
            # says so on stderr if it ends.
            threading.Event().wait()

    return threading.Thread(target=run, name=name, daemon=True)


def start_thread(thread: threading.Thread) -> bool:
    """Start a thread. If the system refuses, that is logged once.

    :returns: whether it was started.
    """
    try:
        thread.start()
    except RuntimeError as error:
        _once.problem(
            f"The thread {thread.name} cannot be started ({error}), so flags are not kept fresh as "
            "they should be. It is tried again. What limits the threads of this process?"
        )
        return False
    return True
