"""What happens to a process: forks, gevent's patching, its end. The engines are told.

A forked child first closes its copies of the parent's sockets (descriptors only), then each engine
begins anew. Python's own forks are told of by :func:`os.register_at_fork`. uWSGI, which forks in C,
tells :mod:`.uwsgi`, if it has a master; otherwise :func:`is_forked` finds out at the next read of a
flag.

Where gevent patches after the app was made, the threads end before that and are begun anew, for
they do not mix with what comes after.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import threading
import weakref
from typing import Protocol

from . import gevent_support, uwsgi


class Engine(Protocol):
    """Something with threads."""

    def reset_after_fork(self) -> None:
        """Begin anew: locks and threads so far cannot be used."""

    def pause(self) -> None:
        """End the threads until :meth:`reset_after_fork`."""

    def stop(self) -> None:
        """End the threads."""


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
#: The process for which the engines are made.
_pid = os.getpid()
_lock = threading.Lock()
_open_sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def register_engine(engine: Engine) -> None:
    """Tell an engine of all that happens from now on."""
    _engines.add(engine)


def close_after_fork(opened: socket.socket) -> None:
    """Have forked children close their copy of a socket. Otherwise a child would keep a connection
    of its parent open after the parent has closed it."""
    _open_sockets.add(opened)


def is_forked() -> bool:
    """Whether this is a child whose fork nobody has told of. Under uWSGI only: elsewhere all forks
    are told of, and each request asks."""
    return uwsgi.IS_RUNNING and _pid != os.getpid()


def after_fork() -> None:
    """Have the engines take over in a forked child. Does nothing where that has been done."""
    global _pid
    with _lock:
        if _pid == os.getpid():
            return
        _close_inherited_sockets()
        _take_over()
        _pid = os.getpid()


def _close_inherited_sockets() -> None:
    for inherited in list(_open_sockets):
        with contextlib.suppress(OSError):
            # Not close(): a reading thread of the parent may have held the buffer's lock. Only the
            # descriptor is closed; nothing is sent, for the connection is still the parent's.
            os.close(inherited.detach())
    _open_sockets.clear()


def watch_gevent() -> None:
    """Notice when gevent patches, if it is there. For whoever is about to start threads."""
    gevent_support.tell_of_patching(_suspend, _take_over)


def _after_fork_in_child() -> None:
    # Another thread of the parent may have held it.
    global _lock
    _lock = threading.Lock()
    after_fork()


def _take_over() -> None:
    for engine in list(_engines):
        engine.reset_after_fork()


def _suspend() -> None:
    for engine in list(_engines):
        engine.pause()


def _stop() -> None:
    for engine in list(_engines):
        engine.stop()


os.register_at_fork(after_in_child=_after_fork_in_child)
uwsgi.register_after_fork(after_fork)
atexit.register(_stop)
