"""``python -m flask_flagsmith_realtime.emulator`` as a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.waiting import PATIENCE_SECONDS


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command, ended at last."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "flask_flagsmith_realtime.emulator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def introduction(process: subprocess.Popen[str]) -> str:
    """What it prints at the start."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Ctrl-C"):
            return "".join(lines)
    raise AssertionError(process.communicate())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_how_to_use_it_and_ends_when_told(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with running("--port", "0", "--state", str(path)) as process:
        said = introduction(process)
        url = re.search(r"Page +(http://127\.0\.0\.1:\d+/)\n", said)[1]
        settings = dict(re.findall(r"export (FLASK_FLAGSMITH_\w+)=(\S+)", said))

        assert str(path) in said
        assert "Client-side key  EmulatedShopEnvironment" in said
        assert settings["FLASK_FLAGSMITH_REALTIME_API_URL"] == url
        answer = requests.get(
            settings["FLASK_FLAGSMITH_API_URL"] + "environment-document/",
            headers={"X-Environment-Key": settings["FLASK_FLAGSMITH_ENVIRONMENT_KEY"]},
            timeout=20,
        )
        assert answer.status_code == 200
        stream = requests.get(
            f"{url}sse/environments/EmulatedShopEnvironment/stream", stream=True, timeout=20
        )
        with stream:
            process.send_signal(number)
            out, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, out, err) == (0, "", "")
    assert path.exists()


def test_a_taken_port_is_said_plainly(emulator: Emulator) -> None:
    port = emulator.url.rstrip("/").rpartition(":")[2]
    with running("--port", port) as process:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, out) == (1, "")
    assert err.startswith(f"The emulator cannot listen on port {port}: Address already in use.")


def test_an_unusable_state_file_is_said_plainly(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("{")
    with running("--port", "0", "--state", str(path)) as process:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, out) == (1, "")
    assert err.startswith(f"The state file {path} cannot be used: it is not JSON")
    assert "Traceback" not in err


#: Removes what Windows does not have, before the emulator is imported.
LIKE_WINDOWS = """
import os, select, selectors, signal, socket, sys
for module, names in {
    os: ("fchmod", "sysconf"),
    select: ("poll", "epoll", "kqueue"),
    selectors: ("PollSelector", "EpollSelector", "KqueueSelector"),
    signal: ("SIGALRM", "SIGHUP", "SIGKILL", "SIGUSR1", "pthread_sigmask"),
    socket: ("AF_UNIX",),
}.items():
    for name in names:
        vars(module).pop(name, None)
selectors.DefaultSelector = selectors.SelectSelector
sys.modules.update(dict.fromkeys(("fcntl", "pwd", "grp", "resource", "termios")))
from flask_flagsmith_realtime.emulator.__main__ import main
sys.exit(main(["--port", "0", *sys.argv[1:]]))
"""


def test_it_needs_nothing_that_windows_lacks(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", LIKE_WINDOWS, "--state", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            url = re.search(r"Page +(http://127\.0\.0\.1:\d+/)\n", introduction(process))[1]
            stream = requests.get(
                f"{url}sse/environments/EmulatedShopEnvironment/stream", stream=True, timeout=20
            )
            switched = {"feature": "new_checkout", "enabled": "on"}
            with stream:
                assert requests.post(f"{url}edit/switch", data=switched, timeout=20).ok
                events = (line for line in stream.iter_lines() if line.startswith(b"data:"))
                assert next(events) < next(events)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()

    assert (process.returncode, out, err) == (0, "", "")
    assert '"enabled": true' in path.read_text("utf-8")
