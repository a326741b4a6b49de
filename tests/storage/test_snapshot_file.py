"""The snapshot file: whole or not at all, of this environment or set aside."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_flagsmith_realtime.exceptions import ConfigError
from flask_flagsmith_realtime.model.snapshot import Snapshot
from flask_flagsmith_realtime.storage.archive import MAX_ARCHIVE_BYTES, pack
from flask_flagsmith_realtime.storage.snapshot_file import SnapshotFile
from tests.support import recorded
from tests.support.snapshots import snapshot_of_answer, snapshot_of_document
from tests.support.waiting import PATIENCE_SECONDS

KEY = "ser.c2VjcmV0"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flags.json"


@pytest.fixture
def file(path: Path) -> SnapshotFile:
    return SnapshotFile(str(path), KEY)


@pytest.fixture
def snapshot() -> Snapshot:
    return snapshot_of_document(recorded.environment_document(), 5.5, 7.5)


@pytest.fixture
def closed_directory() -> Iterator[Path]:
    """A directory in which this process cannot write, be it run by root or not, with a file that it
    cannot read."""
    directory = Path(tempfile.mkdtemp())
    (directory / "unreadable.json").touch(mode=0)
    directory.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    yield directory
    if is_root:
        os.seteuid(0)
    directory.chmod(0o755)
    shutil.rmtree(directory)


def test_what_was_written_is_read(file: SnapshotFile, snapshot: Snapshot) -> None:
    file.write(snapshot)
    read = file.read()
    assert read is not None
    assert (read.flags, read.epoch, read.fetched_at) == (snapshot.flags, 5.5, 7.5)
    assert read.pages == snapshot.pages


def test_flags_of_remote_evaluation_are_kept_too(path: Path) -> None:
    file = SnapshotFile(str(path), "AbC")
    snapshot = snapshot_of_answer(recorded.flags(), 5.5, 7.5, "AbC")
    file.write(snapshot)
    read = file.read()
    assert read is not None
    assert (read.flags, read.environment_id) == (snapshot.flags, "AbC")


def test_no_file_is_no_trouble(file: SnapshotFile, caplog: pytest.LogCaptureFixture) -> None:
    assert file.read() is None
    assert caplog.text == ""


def test_the_file_is_for_its_owner_only(file: SnapshotFile, path: Path, snapshot: Snapshot) -> None:
    path.write_text("an earlier one")
    path.chmod(0o644)
    file.write(snapshot)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_holds_no_key(file: SnapshotFile, path: Path, snapshot: Snapshot) -> None:
    file.write(snapshot)
    assert KEY.encode() not in path.read_bytes()


def test_nothing_else_is_left_in_the_directory(
    file: SnapshotFile, path: Path, snapshot: Snapshot
) -> None:
    file.write(snapshot)
    file.write(snapshot)
    assert os.listdir(path.parent) == ["flags.json"]


# Files that cannot be used.


def assert_set_aside(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"FLAGSMITH_SNAPSHOT_FILE {path} is not usable: " in caplog.text
    assert os.listdir(path.parent) == ["flags.json.rejected"]
    assert path.with_name("flags.json.rejected").read_bytes() == content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not JSON"),
        (b"\0" * 1000, "it is not JSON"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "it is not a snapshot, or one of another version"),
        (b'{"format": 1}', "it is not a snapshot, or one of another version"),
    ],
)
def test_a_damaged_file_is_set_aside(
    file: SnapshotFile,
    path: Path,
    caplog: pytest.LogCaptureFixture,
    content: bytes,
    reason: str,
) -> None:
    path.write_bytes(content)
    path.with_name("flags.json.rejected").write_text("an earlier one")
    assert file.read() is None
    assert_set_aside(path, content, caplog)
    assert reason in caplog.text


def test_a_file_of_another_environment_is_set_aside(
    path: Path, snapshot: Snapshot, caplog: pytest.LogCaptureFixture
) -> None:
    SnapshotFile(str(path), "ser.another").write(snapshot)
    assert SnapshotFile(str(path), KEY).read() is None
    assert_set_aside(path, pack(snapshot, "ser.another"), caplog)
    assert "it belongs to another environment key" in caplog.text


@pytest.mark.slow
def test_a_file_cut_off_anywhere_is_set_aside(
    file: SnapshotFile, path: Path, snapshot: Snapshot, caplog: pytest.LogCaptureFixture
) -> None:
    content = pack(snapshot, KEY)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert file.read() is None
        assert_set_aside(path, content[:length], caplog)
        path.with_name("flags.json.rejected").unlink()
        caplog.clear()
    path.write_bytes(content)
    assert file.read() is not None


def not_regular(path: Path, kind: str) -> str:
    if kind == "directory":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    return str(path)


@pytest.mark.parametrize("kind", ["directory", "FIFO", "device"])
def test_something_else_than_a_file_is_refused(path: Path, kind: str) -> None:
    with pytest.raises(ConfigError, match="FLAGSMITH_SNAPSHOT_FILE must name a regular file"):
        SnapshotFile(not_regular(path, kind), KEY)


@pytest.mark.parametrize("kind", ["directory", "FIFO", "device"])
def test_something_else_that_comes_later_is_not_read(
    path: Path, file: SnapshotFile, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    not_regular(path, kind)
    assert file.read() is None
    assert "flags.json cannot be read (" in caplog.text
    assert os.path.lexists(path)


def test_a_file_without_end_is_not_read(
    path: Path, file: SnapshotFile, caplog: pytest.LogCaptureFixture
) -> None:
    with path.open("wb") as sparse:
        sparse.truncate(2**40)
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert file.read() is None
    assert "flags.json cannot be read (It is larger than 64 MiB)" in caplog.text
    added_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin
    assert added_kib < 2 * MAX_ARCHIVE_BYTES / 1024


def test_an_unreadable_file_is_kept(
    closed_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = closed_directory / "unreadable.json"
    assert SnapshotFile(str(path), KEY).read() is None
    assert "cannot be read (Permission denied); flags start without it" in caplog.text
    assert os.listdir(closed_directory) == ["unreadable.json"]


# Files that cannot be written.


def test_a_closed_directory_is_logged_once(
    closed_directory: Path, snapshot: Snapshot, caplog: pytest.LogCaptureFixture
) -> None:
    file = SnapshotFile(str(closed_directory / "flags.json"), KEY)
    for _ in range(3):
        file.write(snapshot)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "flags.json cannot be written (Permission denied)" in caplog.text
    assert os.listdir(closed_directory) == ["unreadable.json"]


def test_the_recovery_is_logged_once(
    tmp_path: Path, snapshot: Snapshot, caplog: pytest.LogCaptureFixture
) -> None:
    file = SnapshotFile(str(tmp_path / "later" / "flags.json"), KEY)
    file.write(snapshot)
    file.write(snapshot)
    (tmp_path / "later").mkdir()
    file.write(snapshot)
    file.write(snapshot)
    assert [record.getMessage().partition(". ")[0] for record in caplog.records] == [
        f"FLAGSMITH_SNAPSHOT_FILE {tmp_path}/later/flags.json cannot be written (No such file or "
        "directory)",
        f"FLAGSMITH_SNAPSHOT_FILE {tmp_path}/later/flags.json is written again.",
    ]


def test_where_something_else_is_in_the_way_nothing_is_left(
    file: SnapshotFile, path: Path, snapshot: Snapshot, caplog: pytest.LogCaptureFixture
) -> None:
    path.mkdir()
    file.write(snapshot)
    assert "cannot be written (Is a directory)" in caplog.text
    assert os.listdir(path.parent) == ["flags.json"]


def test_an_answer_that_holds_the_key_is_not_written(
    file: SnapshotFile, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    document = recorded.environment_document()
    document["feature_states"][0]["feature_state_value"] = f"key={KEY}"
    file.write(snapshot_of_document(document, 5.5, 7.5))
    assert "was not written: Flagsmith's answer holds the server-side key itself" in caplog.text
    assert not path.exists()
    assert KEY not in caplog.text


# Processes that die, and that write beside each other.


def results_of(scenario: str, path: Path) -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.storage.snapshot_writers", scenario, str(path)],
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE_SECONDS,
        check=True,
    )
    assert ended.stderr == ""
    results: dict[str, Any] = json.loads(ended.stdout)
    return results


@pytest.mark.slow
def test_dying_at_any_byte_leaves_the_old_file_whole(path: Path) -> None:
    results = results_of("dying_at_any_byte", path)
    assert results.keys() == {"killed, old", "done, new"}
    assert results["done, new"] == 1


@pytest.mark.slow
def test_being_killed_at_any_time_leaves_a_whole_file(path: Path) -> None:
    results = results_of("killed_at_any_time", path)
    assert results.keys() <= {"old", "new"}
    assert sum(results.values()) == 40


@pytest.mark.slow
def test_two_processes_write_one_file(path: Path) -> None:
    results = results_of("beside_each_other", path)
    assert results.keys() <= {"old", "new"}
    assert os.listdir(path.parent) == ["flags.json"]


@pytest.mark.slow
def test_what_the_dead_left_behind_is_cleared_away(file: SnapshotFile, path: Path) -> None:
    results_of("dying_at_any_byte", path)
    left = sorted(name for name in os.listdir(path.parent) if name.endswith(".tmp"))
    assert left
    os.utime(path.parent / left[0], (0, 0))
    (path.parent / ".flags.json.mine.txt").touch()
    os.utime(path.parent / ".flags.json.mine.txt", (0, 0))
    file.read()
    assert left[0] not in os.listdir(path.parent)
    assert set(left[1:]) < set(os.listdir(path.parent))
    assert (path.parent / ".flags.json.mine.txt").exists()
