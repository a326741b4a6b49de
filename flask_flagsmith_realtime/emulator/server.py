"""The web server: on loopback only, with a thread for each connection, and quick to stop."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Any

from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

HOST = "127.0.0.1"

#: A connection on which neither side makes progress for so long is closed.
_STUCK_SECONDS = 10.0
_STOP_SECONDS = 0.01


class ServerError(Exception):
    """The server cannot listen. The text names the port, the reason and the way out."""


class Server:
    """Serves an application from the moment it is made.

    :param app: the application.
    :param port: the port to listen on; 0 takes a free one.
    :raises ServerError: if it cannot listen on the port.
    """

    def __init__(self, app: WSGIApplication, port: int) -> None:
        with _listen(port) as listening:
            # Given a port that is taken, Werkzeug would end the process.
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
        """Stops listening. Connections that are open end by themselves."""
        self._server.shutdown()
        self._thread.join()


class _Handler(WSGIRequestHandler):
    timeout = _STUCK_SECONDS

    def log(self, type: str, message: str, *args: Any) -> None:
        """Logs nothing: the page polls each second, and the stream's path holds a key."""


def _listen(port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise ServerError(f"There is no port {port}: a port is a number from 0 to 65535.")
    try:
        return socket.create_server((HOST, port), backlog=128)
    except OSError as error:
        raise ServerError(
            f"The emulator cannot listen on port {port}: {os.strerror(error.errno or 0)}. "
            "Choose another one with --port; 0 takes any that is free."
        ) from None
