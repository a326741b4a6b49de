"""The open sockets of one owner, so that another thread can end the calls that wait on them.

A :class:`Sockets` belongs to one API client, one stream or one Redis client. The thread that opens
a connection adds its socket; any other thread may shut all of them down, which ends each blocked
read or write at once. Each socket is also registered for :func:`~..processes.close_after_fork`, so
that a forked child closes its copy of the descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import weakref

from ..processes import close_after_fork


class Sockets:
    """The open sockets of one owner. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._ended = False
        self._interrupted = False

    def add(self, opened: socket.socket) -> None:
        """Registers a socket that has just been connected.

        :raises ConnectionAbortedError: if the connections were ended meanwhile; the socket is then
            closed.
        """
        close_after_fork(opened)
        with self._lock:
            self._open.add(opened)
            if self._ended or self._interrupted:
                opened.close()
                raise ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))

    def shut_down(self) -> None:
        """Shuts down the open connections: a thread that reads from one returns at once."""
        with self._lock:
            for opened in self._open:
                # Not SSLSocket.shutdown(), which drops the TLS state that the reader still uses.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(opened, socket.SHUT_RDWR)

    def begin(self) -> None:
        """Allows connections again after :meth:`interrupt`: the next call begins."""
        self._interrupted = False

    def interrupt(self) -> None:
        """Shuts down the open connections, and refuses new ones until the next :meth:`begin`."""
        self._interrupted = True
        self.shut_down()

    def end(self) -> None:
        """Shuts down the open connections, and refuses new ones for good."""
        self._ended = True
        self.shut_down()
