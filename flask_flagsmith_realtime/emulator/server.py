"""The web server: loopback only, a thread for each connection, gone at once when told so."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

HOST = "127.0.0.1"

#: A connection on which neither side gets anywhere for so long is closed.
_STUCK_SECONDS = 10.0
_STOP_SECONDS = 0.05


class ServerError(Exception):
    """The server cannot listen. The text names the port, the reason and the way out."""


class Server:
    """Serves an app from the moment it is made.

    :param app: the app.
    :param port: the port to listen on; 0 takes a free one.
    :raises ServerError: if the port cannot be had.
    """

    def __init__(self, app: Flask, port: int) -> None:
        with _listen(port) as listening:
            # Given a port that is taken, werkzeug would end the process.
            self._server = make_server(
                HOST, port, app, threaded=True, request_handler=_Handler, fd=listening.fileno()
            )
        self.port: int = self._server.port
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": _STOP_SECONDS},
            name="flagsmith-emulator",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening. Connections that are open end by themselves."""
        self._server.shutdown()
        self._thread.join()


class _Handler(WSGIRequestHandler):
    timeout = _STUCK_SECONDS

    def log(self, type: str, message: str, *args: Any) -> None:
        """Leave the console to the emulator: a poll a second is no news, and paths hold keys."""


@contextlib.contextmanager
def _listen(port: int) -> Iterator[socket.socket]:
    if not 0 <= port <= 65535:
        raise ServerError(f"There is no port {port}: a port is a number from 0 to 65535.")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        # So that a restart can have its port back at once.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise ServerError(
                f"The emulator cannot listen on port {port}: {error.strerror}. "
                "Choose another one, or 0 for any that is free."
            ) from None
        listening.listen(128)
        yield listening
