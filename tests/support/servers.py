"""Servers as processes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from tests.support.paths import ROOT
from tests.support.waiting import PATIENCE_SECONDS

BIN = Path(sys.executable).parent

_ADDRESS = re.compile(r"(?:Listening at: |Running on |TCP address )(?:http://)?(127\.0\.0\.1:\d+)")


class Served:
    """A server process and its output.

    :param command: the command line.
    :param environment: variables to add to this process's.
    :param directory: where to run it.
    """

    def __init__(
        self, command: list[str], environment: Mapping[str, str], directory: Path = ROOT
    ) -> None:
        self._printed = threading.Condition()
        self._lines: list[str] = []
        self._is_complete = False
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=directory,
            start_new_session=True,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                # The output names the place where a process crashed.
                "PYTHONFAULTHANDLER": "1",
                "PYTHONPATH": str(ROOT),
                **environment,
            },
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """The output so far."""
        with self._printed:
            return "".join(self._lines)

    def wait_for_output(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """Wait for output that matches a pattern."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            match = re.search(pattern, "".join(self._lines))
            found[:] = [match] if match else []
            return match is not None or self._is_complete

        with self._printed:
            self._printed.wait_for(look, PATIENCE_SECONDS)
        assert found, f"{pattern!r} was not printed:\n{self.output}"
        return found[0]

    @property
    def url(self) -> str:
        """The URL; waits until the server listens."""
        return f"http://{self.wait_for_output(_ADDRESS)[1]}"

    def get(self, path: str = "/") -> dict[str, Any]:
        """Get the answer of one of its workers, over a new connection."""
        # A kept connection that closes as SIGINT comes makes gunicorn's gthread worker wait for
        # itself.
        headers = {"Connection": "close"}
        try:
            answer = requests.get(self.url + path, headers=headers, timeout=PATIENCE_SECONDS)
            answer.raise_for_status()
        except requests.RequestException as error:
            # A master tells of a worker that has crashed a little later.
            self.kill()
            raise AssertionError(f"{error}:\n{self.output}") from None
        content: dict[str, Any] = answer.json()
        return content

    def wait_for_all(
        self, workers: int, condition: Callable[[dict[str, Any]], bool], path: str = "/"
    ) -> dict[int, dict[str, Any]]:
        """Request until the newest answers of so many workers all meet a condition.

        :returns: their answers by process id.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        answers: dict[int, dict[str, Any]] = {}
        with ThreadPoolExecutor(2 * workers) as pool:
            while time.monotonic() < deadline:
                asked = [pool.submit(self.get, path) for _ in range(4 * workers)]
                answers |= {answer["pid"]: answer for answer in (task.result() for task in asked)}
                good = {pid: answer for pid, answer in answers.items() if condition(answer)}
                if len(good) >= workers and len(good) == len(answers):
                    return good
                # Requests without a pause would leave no time to the other tests.
                time.sleep(0.05)
        raise TimeoutError(f"after {PATIENCE_SECONDS} s: {answers}\n{self.output}")

    def stop(self, patience: float = PATIENCE_SECONDS) -> int:
        """Send SIGTERM, and wait for the end.

        :returns: the exit status.
        """
        self.process.terminate()
        return self.wait(patience)

    def wait(self, patience: float = PATIENCE_SECONDS) -> int:
        """Wait for the end.

        :returns: the exit status.
        """
        code = self.process.wait(patience)
        self._reader.join(PATIENCE_SECONDS)
        return code

    def kill(self) -> None:
        """End the process, with SIGKILL to it and its workers if that takes over five seconds."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self._reader.join(PATIENCE_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._printed:
                self._lines.append(line)
                self._printed.notify_all()
        with self._printed:
            self._is_complete = True
            self._printed.notify_all()


Serve = Callable[..., Served]
Answer = dict[str, Any]


def environment_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return settings as the variables that ``app.config.from_prefixed_env()`` reads.

    Unless they say otherwise, the first read waits as long as a test does.
    """
    settings = {"FLAGSMITH_STARTUP_TIMEOUT_SECONDS": PATIENCE_SECONDS, **settings}
    return {f"FLASK_{name}": str(value) for name, value in settings.items()}


def gunicorn(*options: str, app: str = "tests.support.served:create_app()") -> list[str]:
    """Return the command line of a gunicorn. It replaces no worker that a busy machine holds up."""
    return [str(BIN / "gunicorn"), "--bind", "127.0.0.1:0", "--timeout", "600", *options, app]


def uwsgi(
    *options: str,
    app: str = "tests.support.served:create_app()",
    address: str = "127.0.0.1:0",
) -> list[str]:
    """Return the command line of a uWSGI."""
    return [
        *(str(BIN / "uwsgi"), "--http-socket", address, "--need-app", "--master"),
        *("--die-on-term", "--module", app, *options),
    ]
