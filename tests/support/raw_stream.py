"""A client of the stream on a plain socket, which returns every byte."""

from __future__ import annotations

import json
import socket
from types import TracebackType
from urllib.parse import urlsplit

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.waiting import PATIENCE_SECONDS


class RawStream:
    """One connection.

    :param environment_id: what to ask for; the emulator's environment if not given.
    """

    def __init__(self, emulator: Emulator, environment_id: str | None = None) -> None:
        address = urlsplit(emulator.realtime_api_url)
        name = environment_id or emulator.client_side_key
        self.socket = socket.create_connection(
            (address.hostname, address.port), timeout=PATIENCE_SECONDS
        )
        self.socket.sendall(
            f"GET /sse/environments/{name}/stream HTTP/1.1\r\nHost: {address.netloc}\r\n"
            "Accept: text/event-stream\r\n\r\n".encode()
        )
        self._file = self.socket.makefile("rb")
        self.status = self._file.readline().decode().strip()
        self.headers: dict[str, str] = {}
        while line := self._file.readline().decode().strip():
            name, _, value = line.partition(": ")
            self.headers[name] = value

    def __enter__(self) -> RawStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self.socket.close()

    def read(self) -> str:
        """The next chunk: an event or a comment as the server sent it. Empty at the end."""
        size = int(self._file.readline() or b"0", 16)
        chunk = self._file.read(size)
        self._file.readline()
        return chunk.decode()

    def read_epoch(self) -> float:
        """The epoch of the next event; comments are passed over."""
        while (block := self.read()).startswith(":"):
            pass
        data = next(line for line in block.splitlines() if line.startswith("data: "))
        epoch: float = json.loads(data.removeprefix("data: "))["updated_at"]
        return epoch
