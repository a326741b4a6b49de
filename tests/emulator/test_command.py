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
    """Run the command, and kill it if it has not ended."""
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
    """Read the text that it prints at the start."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Ctrl-C"):
            return "".join(lines)
    raise AssertionError(process.communicate())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_how_to_use_it_and_ends_by_a_signal(
    number: signal.Signals, tmp_path: Path
) -> None:
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
            timeout=PATIENCE_SECONDS,
        )
        assert answer.status_code == 200
        stream = requests.get(
            f"{url}sse/environments/EmulatedShopEnvironment/stream",
            stream=True,
            timeout=PATIENCE_SECONDS,
        )
        with stream:
            process.send_signal(number)
            out, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, out, err) == (0, "", "")
    assert path.exists()


@pytest.mark.slow
def test_a_taken_port_is_a_clear_error(emulator: Emulator) -> None:
    port = emulator.url.rstrip("/").rpartition(":")[2]
    with running("--port", port) as process:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, out) == (1, "")
    assert err.startswith(f"The emulator cannot listen on port {port}: Address already in use.")


@pytest.mark.slow
def test_an_invalid_state_file_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("{")
    with running("--port", "0", "--state", str(path)) as process:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, out) == (1, "")
    assert err.startswith(f"The state file {path} cannot be used: it is not JSON")
    assert "Traceback" not in err
