"""A port that stays a test's own while nothing listens on it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


def reserve() -> socket.socket:
    """Return a socket that is bound to a free port and silent. Connections are refused; a server
    that reuses addresses can listen there meanwhile; no other process is given the port."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


@contextmanager
def reserved_address() -> Iterator[str]:
    """The address of such a port, for servers that are started on it again."""
    with reserve() as reserved:
        yield "{}:{}".format(*reserved.getsockname())
