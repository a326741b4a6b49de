"""The offline file: an environment document, and no network."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from flask import Flask

from flask_flagsmith_realtime import ConfigError, FlagsmithRealtime, flags
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.storage import offline_file as offline
from flask_flagsmith_realtime.storage.archive import pack
from tests.support import recorded
from tests.support.snapshots import snapshot_of_document


def test_a_document_as_flagsmith_answers_it_is_served(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_text(recorded.as_json(recorded.environment_document()))
    snapshot = offline.read_offline_file(str(path))
    assert snapshot.flags["banner_text"].value == "Welcome!"
    assert snapshot.epoch == 1795478846.06334
    assert snapshot.evaluation is not None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not an environment document: it is not JSON"),
        (b"[]", "is not an environment document: $: Expected `object`, got `array`"),
        (b"{}", "is not an environment document: $: Object missing required field `api_key`"),
        (
            pack(snapshot_of_document(recorded.environment_document(), 5.5, 7.5), "ser.key"),
            "is not an environment document: $: Object missing required field `api_key`",
        ),
    ],
)
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "document.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        offline.read_offline_file(str(path))
    assert str(refused.value).startswith(f"FLAGSMITH_OFFLINE_FILE {path} {reason}")
    assert "It takes what Flagsmith answers at environment-document/" in str(refused.value)


def test_no_file_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file or directory\)"):
        offline.read_offline_file(str(tmp_path / "missing.json"))
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        offline.read_offline_file(str(tmp_path))


def test_a_fifo_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match=r"cannot be read \(Not a regular file\)"):
        offline.read_offline_file(str(tmp_path / "fifo"))


def test_the_snapshot_file_keeps_what_flagsmith_answered(
    tmp_path: Path, emulator: Emulator
) -> None:
    kept, offline_file = tmp_path / "kept", tmp_path / "offline.json"
    kept.write_bytes(b"from Flagsmith")
    offline_file.write_text(json.dumps(emulator.document))
    app = Flask("offline")
    app.config.update(
        emulator.config,
        FLAGSMITH_SNAPSHOT_FILE=str(kept),
        FLAGSMITH_OFFLINE_FILE=str(offline_file),
    )
    FlagsmithRealtime(app)
    with app.app_context():
        assert flags["banner_text"]
    assert kept.read_bytes() == b"from Flagsmith"
