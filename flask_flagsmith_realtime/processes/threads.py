"""The engine's threads: named daemons, so that they never hold the end of the process up."""

from __future__ import annotations

import contextvars
import logging
import os
import threading
import time
from collections.abc import Callable

from ..logs import OncePerCause, SafeLogger

logger = SafeLogger(logging.getLogger(__name__))

#: Starting is tried again at each read and each fetch.
_once = OncePerCause(logger, "thread", "")

_JOIN_SECONDS = 0.4


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


def start_thread(name: str, target: Callable[..., None], *args: object) -> threading.Thread | None:
    """Starts a daemon thread, and logs once if the system refuses.

    :param name: its name in debuggers and profilers.
    :returns: the thread; ``None`` if it cannot be started.
    """
    thread = make_thread(name, target, *args)
    try:
        thread.start()
    except RuntimeError as error:
        _once.problem(
            f"The thread {name} cannot be started ({error}), so flags are not kept fresh as they "
            "should be. It is tried again. What limits the threads of this process?"
        )
        return None
    return thread


def join_briefly(*threads: threading.Thread | None) -> None:
    """Waits for threads to end: less than half a second for all of them."""
    deadline = time.monotonic() + _JOIN_SECONDS
    for thread in threads:
        if thread is not None and thread.is_alive():
            thread.join(max(0.0, deadline - time.monotonic()))
