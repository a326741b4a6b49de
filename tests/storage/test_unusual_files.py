"""Files that would block the start or fill the memory: FIFOs, devices, and files without an end."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from flask import Flask

from flask_flagsmith_realtime import ConfigError, FlagsmithRealtime
from flask_flagsmith_realtime.storage import MAX_ARCHIVE_BYTES, SnapshotFile

KEY = "ser.the-key"
SETTINGS = ("FLAGSMITH_SNAPSHOT_FILE", "FLAGSMITH_OFFLINE_FILE")


def make_fifo(directory: Path) -> Path:
    path = directory / "fifo"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", ["fifo", "device", "directory"])
def test_only_a_regular_file_is_accepted_at_the_start(
    tmp_path: Path, setting: str, kind: str
) -> None:
    path = {"fifo": make_fifo(tmp_path), "device": Path("/dev/zero"), "directory": tmp_path}[kind]
    app = Flask("shop")
    app.config.update({"FLAGSMITH_ENVIRONMENT_KEY": KEY, setting: str(path)})
    with pytest.raises(ConfigError, match=setting) as caught:
        FlagsmithRealtime(app)
    assert str(path) in str(caught.value)


def test_a_snapshot_file_of_a_gigabyte_is_not_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "flags"
    with path.open("wb") as file:
        file.truncate(2**30)
    tracemalloc.start()
    try:
        assert SnapshotFile(str(path), KEY).read() is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * MAX_ARCHIVE_BYTES
    assert "It is larger than 64 MiB" in caplog.text
    assert path.exists()
