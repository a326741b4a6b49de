"""Informs the engines of forks, of gevent's patching and of the end of the process.

- *Forks*: a child first closes its copies of the parent's sockets (descriptors only), then each
  engine starts again. Python's forks run :func:`os.register_at_fork`'s handlers, which Windows does
  not have. uWSGI, which forks in C, runs those of :mod:`.uwsgi` if it has a master process;
  otherwise :func:`is_forked` finds out at the next read of a flag.
- *gevent*: where it patches after the app was made, the threads end before that and start again
  after it, since threads and locks from before do not mix with those after.
- *Ownership*: the registry holds engines weakly. Its lock is held while engines are informed, by
  the only thread of a child, and is replaced in each child.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import threading
import weakref
from typing import Protocol

from .. import logs
from . import gevent_support, uwsgi


class Engine(Protocol):
    """An object that owns threads: it stops them, or pauses them until it makes locks and threads
    again."""

    def stop(self) -> None: ...

    def pause(self) -> None: ...

    def reset_after_fork(self) -> None: ...


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
#: The process that the engines' threads and locks belong to.
_pid = os.getpid()
_lock = threading.Lock()
_open_sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def register_engine(engine: Engine) -> None:
    """Informs an engine from now on, for as long as it is referenced elsewhere."""
    _engines.add(engine)
    watch_gevent()


def close_after_fork(opened: socket.socket) -> None:
    """Closes a socket's copy in forked children, which would keep the connection open otherwise
    after the parent has closed it."""
    _open_sockets.add(opened)


def is_forked() -> bool:
    """Returns ``True`` in a child in which no fork handler ran. Only uWSGI has such children;
    elsewhere this costs no system call, since each request that reads a flag calls it."""
    return uwsgi.IS_RUNNING and _pid != os.getpid()


def after_fork() -> None:
    """Resets the engines in a forked child, once."""
    global _pid
    with _lock:
        if _pid == os.getpid():
            return
        _close_inherited_sockets()
        _reset()
        _pid = os.getpid()


def _close_inherited_sockets() -> None:
    for inherited in list(_open_sockets):
        with contextlib.suppress(OSError):
            # Not close(), which waits for the buffer's lock; a thread of the parent may have held
            # it. Only the descriptor is closed: the connection is still the parent's.
            os.close(inherited.detach())
    _open_sockets.clear()


def watch_gevent() -> None:
    """Pauses the engines while gevent patches, if it is loaded. Call it before starting threads."""
    gevent_support.on_patching(_pause, _reset)


def _after_fork_in_child() -> None:
    # A thread of the parent may have held the lock.
    global _lock
    _lock = threading.Lock()
    after_fork()


def _reset() -> None:
    for engine in list(_engines):
        engine.reset_after_fork()


def _pause() -> None:
    for engine in list(_engines):
        engine.pause()


def _stop() -> None:
    for engine in list(_engines):
        engine.stop()
    logs.flush()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
uwsgi.register_after_fork(after_fork)
atexit.register(_stop)
