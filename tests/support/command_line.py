"""Commands in processes of their own, run in a directory with an app."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from tests.support.paths import ROOT
from tests.support.servers import environment_of
from tests.support.waiting import PATIENCE_SECONDS

#: An app as the first page of the documentation shows it.
APP = """\
from flask import Flask
from flask_flagsmith_realtime import FlagsmithRealtime, flags

app = Flask(__name__)
app.config.from_prefixed_env()
FlagsmithRealtime(app)


@app.get("/")
def home():
    return str(flags.is_feature_enabled("new_checkout"))
"""


class Directory:
    """A directory with an app in it.

    :param path: the directory.
    :param settings: the app's ``FLAGSMITH_`` settings.
    :param source: the text of app.py.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, object] | None = None, source: str = APP
    ) -> None:
        self.path = path
        (path / "app.py").write_text(source)
        self.environ = {
            name: content
            for name, content in os.environ.items()
            if not name.startswith(("FLASK_", "FLAGSMITH_", "GUNICORN_"))
        }
        self.environ |= environment_of(settings or {})

    def setenv(self, name: str, content: str) -> None:
        """Set an environment variable of the processes to come."""
        self.environ[name] = content

    def flask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``flask`` to its end."""
        return self.python("-m", "flask", *arguments)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python to its end."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env=self.environ,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
        )

    def start(self, *arguments: str) -> Running:
        """Start ``flask`` and leave it running."""
        return self._start("flask", *arguments)

    def start_patiently(self, *arguments: str) -> Running:
        """Start ``flask``, which does not take a stream that opens late for an outage."""
        self.environ["PYTHONPATH"] = str(ROOT)
        return self._start("tests.support.patiently", "flask", *arguments)

    def _start(self, *arguments: str) -> Running:
        return Running(
            subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=self.path,
                env=self.environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
            )
        )


class Running:
    """A running process, whose lines can be waited for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.out = _Lines(process.stdout)
        self.err = _Lines(process.stderr)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self.out.close()
        self.err.close()

    def interrupt(self) -> int:
        """Send what Ctrl-C sends, and wait for the end.

        :returns: the exit status.
        """
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(PATIENCE_SECONDS)


class _Lines:
    """The lines that a process prints."""

    def __init__(self, stream: IO[str] | None) -> None:
        assert stream is not None
        self._stream = stream
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            self._lines.put(line.rstrip("\n"))

    def next(self) -> str:
        """Wait for the next line."""
        return self._lines.get(timeout=PATIENCE_SECONDS)

    def find(self, condition: Callable[[str], bool]) -> str:
        """Wait for a line that meets a condition; skip those before it."""
        while not condition(line := self.next()):
            pass
        return line

    def rest(self) -> list[str]:
        """Return the remaining lines of a process that has ended."""
        self._thread.join(PATIENCE_SECONDS)
        lines = []
        while not self._lines.empty():
            lines.append(self._lines.get())
        return lines

    def close(self) -> None:
        self._thread.join(PATIENCE_SECONDS)
        self._stream.close()
