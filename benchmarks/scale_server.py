"""A Flagsmith that serves one prepared document and announces changes, in a process of its own.

Preparing takes its time before the announcement, and serving is writing bytes: so what is measured
is the client. ``POST /change`` changes the value of one feature, ``POST /nothing`` announces a
change of which the document shows nothing; both answer with the moment of the announcement, by the
monotonic clock, which is the same for all processes of a machine.
"""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

from .large_environment import LargeEnvironment, Size


def start(size: Size) -> tuple[multiprocessing.process.BaseProcess, str]:
    """Start the process, and return it with the server's URL."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(size, theirs), daemon=True
    )
    process.start()
    return process, f"http://127.0.0.1:{ours.recv()}/"


def _serve(size: Size, port: Connection) -> None:
    server = _Server(size)
    port.send(server.server_address[1])
    server.serve_forever()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, size: Size) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._environment = LargeEnvironment(size)
        self._changes = 0
        self.announced = threading.Condition()
        self.prepare()

    def handle_error(self, *_: Any) -> None:
        """Do not print that a client has ended."""

    def prepare(self) -> None:
        """Write the document that is served from now on."""
        self.epoch = round(time.time(), 3)
        self.body = self._environment.write(f"change {self._changes}", self.epoch)

    def announce(self, is_change: bool) -> dict[str, Any]:
        """Prepare a document and announce it to all streams."""
        self._changes += is_change
        self.prepare()
        with self.announced:
            announced_at = time.monotonic()
            self.announced.notify_all()
        return {"value": f"change {self._changes}", "announced_at": announced_at}


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path.endswith("/stream"):
            self._stream()
        else:
            self._answer(self.server.body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(json.dumps(self.server.announce(self.path == "/change")).encode())

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        # The announcements are far apart: each stream is waiting again before the next one.
        while True:
            with self.server.announced:
                self.server.announced.wait()
            data = json.dumps({"updated_at": self.server.epoch})
            self._write_chunk(f"event: environment_updated\ndata: {data}\n\n".encode())

    def _write_chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()
