"""Snapshots, out of documents and lists of flags."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flagsmith import Flagsmith
from flagsmith.offline_handlers import LocalFileHandler

from flask_flagsmith_realtime.exceptions import InvalidDocumentError
from flask_flagsmith_realtime.identities.local import LocalIdentities
from flask_flagsmith_realtime.logs import OncePerCause
from flask_flagsmith_realtime.model.flag import Flag
from flask_flagsmith_realtime.model.identity import Identity
from flask_flagsmith_realtime.model.snapshot import (
    Snapshot,
    snapshot_of_document,
    snapshot_of_flags,
)
from tests.support import recorded
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
def local() -> Snapshot:
    return snapshot_of_document(recorded.environment_document(), 5.0, 7.0)


@pytest.fixture
def remote() -> Snapshot:
    return snapshot_of_flags(recorded.flags(), 5.0, 7.0, "the-key")


def test_flags_of_a_document_are_those_that_the_api_answers(
    local: Snapshot, remote: Snapshot
) -> None:
    def states(snapshot: Snapshot) -> dict[str, tuple[Any, ...]]:
        return {name: (flag.enabled, flag.value) for name, flag in snapshot.flags.items()}

    assert states(local) == states(remote)
    assert local.flags["banner_text"] == Flag("banner_text", True, "Welcome!", 2)


def test_what_a_snapshot_of_a_document_knows(local: Snapshot) -> None:
    assert (local.epoch, local.fetched_at) == (5.0, 7.0)
    assert local.environment_id == "ENVIRONMENT_ID"
    assert local.document == recorded.environment_document()
    assert local.answer is None


def test_what_a_snapshot_of_flags_knows(remote: Snapshot) -> None:
    assert (remote.epoch, remote.fetched_at) == (5.0, 7.0)
    assert remote.environment_id == "the-key"
    assert remote.answer == recorded.flags()
    assert remote.document is None
    assert remote.evaluator is None
    assert remote.targeting == {}


def test_a_snapshot_is_immutable(local: Snapshot) -> None:
    with pytest.raises(TypeError):
        local.flags["new"] = Flag("new")  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        local.epoch = 1.0  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        local.flags["banner_text"].enabled = False  # type: ignore[misc]


def test_a_snapshot_names_no_key(local: Snapshot, remote: Snapshot) -> None:
    assert "ENVIRONMENT_ID" not in repr(local)
    assert "the-key" not in repr(remote)


def test_identities_are_evaluated_by_the_sdk(local: Snapshot, tmp_path: Any) -> None:
    assert isinstance(local.evaluator, Flagsmith)
    path = tmp_path / "document.json"
    path.write_text(recorded.as_json(recorded.environment_document()))
    sdk = Flagsmith(offline_mode=True, offline_handler=LocalFileHandler(str(path)))
    for identifier, traits in [("alice@example.com", {}), ("bob", {"plan": "pro"})]:
        ours = local.evaluator.get_identity_flags(identifier, traits).all_flags()
        assert ours == sdk.get_identity_flags(identifier, traits).all_flags()


def test_a_document_that_the_sdk_cannot_evaluate_is_refused() -> None:
    document = recorded.environment_document()
    del document["feature_states"][0]["feature"]["name"]
    with pytest.raises(InvalidDocumentError, match=r"cannot evaluate it \(KeyError: 'name'\)"):
        snapshot_of_document(document, 5.0, 7.0)


class Slow(dict[str, Any]):
    """A document that keeps whoever reads the segments waiting."""

    def __init__(self, document: Any) -> None:
        super().__init__(document)
        self.is_read = threading.Event()
        self.goes_on = threading.Event()

    def __getitem__(self, key: str) -> Any:
        if key == "project":
            self.is_read.set()
            self.goes_on.wait(2 * PATIENCE_SECONDS)
        return super().__getitem__(key)


@pytest.mark.parametrize("kind", ["targeting", "segments"])
def test_what_is_derived_late_waits_for_no_thread_that_derives_another(
    local: Snapshot, kind: str
) -> None:
    """A forked child would wait for ever: that thread is not there."""

    def derive(snapshot: Snapshot) -> Callable[[], object]:
        if kind == "targeting":
            return lambda: snapshot.targeting
        identities = LocalIdentities(
            snapshot, OncePerCause(logging.getLogger(__name__), "test", "")
        )
        return lambda: identities.segments_of(Identity("somebody"))

    slow = Slow(local.document)
    slow.goes_on.set()
    waiting = threading.Thread(target=derive(dataclasses.replace(local, document=slow)))
    other = threading.Thread(target=derive(local))
    slow.is_read.clear()
    slow.goes_on.clear()
    waiting.start()
    assert slow.is_read.wait(PATIENCE_SECONDS)
    other.start()
    other.join(PATIENCE_SECONDS)
    is_held_up = other.is_alive()
    slow.goes_on.set()
    waiting.join(PATIENCE_SECONDS)
    other.join(PATIENCE_SECONDS)
    assert not is_held_up
