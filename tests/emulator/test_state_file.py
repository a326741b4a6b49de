"""The state file: what it holds, and the errors of an invalid one."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from flask_flagsmith_realtime.emulator import DocumentError, Emulator, StateFileError
from tests.support import recorded


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


def test_it_is_made_at_the_start_and_survives_a_restart(path: Path) -> None:
    with Emulator(state=path) as emulator:
        assert path.exists()
        emulator.set_flag("banner_text", value="kept")
        emulator.override_identity("ada", "new_checkout", enabled=True)
        emulator.set_traits("ben", orders=3)
        document, epoch = emulator.document, emulator.epoch

    with Emulator(state=str(path)) as emulator:
        assert emulator.document == document
        assert emulator.epoch == epoch


def test_it_is_a_readable_environment_document(path: Path) -> None:
    with Emulator(state=path) as emulator:
        emulator.set_flag("banner_text", value="Grüß Gott")

    text = path.read_text("utf-8")
    assert '"Grüß Gott"' in text
    assert json.loads(text)["api_key"] == emulator.client_side_key
    assert emulator.server_side_key not in text


def test_the_file_takes_precedence_over_a_document(path: Path) -> None:
    with Emulator(state=path) as emulator:
        emulator.set_flag("banner_text", value="from the file")
    with Emulator(state=path, document=recorded.environment_document()) as emulator:
        assert emulator.client_side_key == "EmulatedShopEnvironment"


def test_a_reader_finds_a_complete_file(path: Path) -> None:
    done = threading.Event()
    read: list[str] = []
    with Emulator(state=path) as emulator:

        def keep_reading() -> None:
            while not done.is_set():
                read.append(path.read_text("utf-8"))

        reader = threading.Thread(target=keep_reading)
        reader.start()
        for number in range(50):
            emulator.set_flag("banner_text", value="long " * 2000 + str(number))
        done.set()
        reader.join()

    assert all(json.loads(text)["api_key"] for text in set(read))
    assert os.listdir(path.parent) == [path.name]


def test_an_edit_by_hand_is_a_change(path: Path) -> None:
    with Emulator(state=path) as emulator:
        before = emulator.epoch
    document = json.loads(path.read_text())
    document["feature_states"][0]["enabled"] = True
    path.write_text(json.dumps(document))
    os.utime(path, (before + 60, before + 60))

    with Emulator(state=path) as emulator:
        assert emulator.epoch == before + 60


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is not JSON"),
        ("[]", "it is not a JSON object"),
        ("{}", "'updated_at' is missing"),
        ('{"updated_at": 5}', "it is not an environment document"),
    ],
)
def test_an_invalid_file_stops_the_start(path: Path, text: str, reason: str) -> None:
    path.write_text(text)

    with pytest.raises(StateFileError) as raised:
        Emulator(state=path)
    assert str(path) in str(raised.value)
    assert reason in str(raised.value)
    assert "Fix it, or move it away" in str(raised.value)
    assert path.read_text() == text


def test_a_directory_is_no_state_file(tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match="cannot be used"):
        Emulator(state=tmp_path)


def test_a_missing_directory_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match="cannot be written: No such file or directory"):
        Emulator(state=tmp_path / "nowhere" / "state.json")


def test_a_change_that_cannot_be_saved_is_not_made(path: Path) -> None:
    with Emulator(state=path) as emulator:
        before = emulator.epoch
        path.unlink()
        path.parent.rmdir()
        with pytest.raises(StateFileError):
            emulator.set_flag("banner_text", value="lost")
        assert emulator.epoch == before


def test_an_invalid_document_is_refused() -> None:
    with pytest.raises(DocumentError, match="'updated_at' is missing"):
        Emulator(document={"feature_states": []})


def test_the_given_document_stays_as_it_is() -> None:
    document = recorded.environment_document()
    with Emulator(document=document) as emulator:
        emulator.set_flag("banner_text", value="other")

    assert document == recorded.environment_document()
