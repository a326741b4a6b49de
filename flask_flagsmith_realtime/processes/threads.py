"""The engine's threads: named daemons, so that they never hold the end of the process up."""

from __future__ import annotations

import contextvars
import logging
import os
import threading
from collections.abc import Callable

from ..logs import OncePerCause, SafeLogger

logger = SafeLogger(logging.getLogger(__name__))

#: Starting is tried again at each read and each fetch.
_once = OncePerCause(logger, "thread", "")


def make_thread(name: str, target: Callable[..., None], *args: object) -> threading.Thread:
    """Makes a daemon thread that is not started yet.

    :param name: its name in debuggers and profilers.
    """
    maker = os.getpid()

    def run() -> None:
        # In an empty context: under gevent, and in some Pythons, a thread inherits the context of
        # its starter, and with it a request that is long over.
        contextvars.Context().run(target, *args)
        if os.getpid() != maker:
            # A greenlet that a fork has copied. Python has forgotten this thread in the child, and
            # prints an error to stderr if it ends.
            threading.Event().wait()

    return threading.Thread(target=run, name=name, daemon=True)


def start_thread(thread: threading.Thread) -> bool:
    """Starts a thread, and log once if the system refuses.

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
