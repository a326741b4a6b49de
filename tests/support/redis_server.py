"""A real Redis on loopback, and a proxy before it that can withhold answers."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from tests.support import ports
from tests.support.programs import find_program
from tests.support.waiting import PATIENCE_SECONDS, eventually


class RedisServer:
    """A redis-server process without persistence.

    :param directory: its working directory.
    :param options: more options of its command line.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        self._directory = directory
        self._options = options
        # The port stays this server's while it is stopped.
        self._reserved = ports.reserve()
        self.port: int = self._reserved.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(port=self.port, decode_responses=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> RedisServer:
        command = [find_program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._directory)]
        self._process = subprocess.Popen(
            [*command, *self._options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._answers)
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Stop for good."""
        self.client.close()
        self.stop()
        self._reserved.close()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def keys(self) -> dict[str, str]:
        """Return the fleet's keys by the last part of their names."""
        return {key.rpartition(":")[2]: key for key in self.client.keys("*")}

    def wait_for_flags(self, epoch: float | None = None) -> str:
        """Wait until flags are stored.

        :param epoch: their epoch; ``None``: any.
        :returns: the key of the flags.
        """
        eventually(lambda: "environment" in self.keys())
        name = self.keys()["environment"]
        eventually(lambda: self.client.hget(name, "version") is not None)
        eventually(lambda: epoch is None or self.client.hget(name, "epoch") == repr(epoch))
        return name

    def subscribers(self) -> int:
        """Return the number of subscribers."""
        return sum(client["sub"] == "1" for client in self.client.client_list())

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.client.ping())
        return False


class Gate:
    """A proxy of a Redis. It withholds large answers, or those that ``holds`` chooses.

    :param port: the port of the Redis.
    """

    def __init__(self, port: int) -> None:
        self._behind = port
        self.holds: Callable[[bytes], bool] = lambda answer: len(answer) > 1024
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._accepting = self._start(self._accept)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(PATIENCE_SECONDS)
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _start(self, work: Callable[..., None], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        return thread

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._behind))
                self._sockets += [client, server]
                self._start(self._pass, client, server, False)
                self._start(self._pass, server, client, True)

    def _pass(self, source: socket.socket, target: socket.socket, checks: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if checks and self.holds(data):
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
