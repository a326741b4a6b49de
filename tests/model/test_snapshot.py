"""Snapshots of documents and of lists of flags."""

from __future__ import annotations

import dataclasses
import gc
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from flask_flagsmith_realtime.model.document import first_page, further_page
from flask_flagsmith_realtime.model.flag import Flag
from flask_flagsmith_realtime.model.snapshot import (
    Snapshot,
    snapshot_of_flags,
    snapshot_of_pages,
)
from tests.support import recorded
from tests.support.snapshots import document_in, snapshot_of_answer, snapshot_of_document


@pytest.fixture
def local() -> Snapshot:
    return snapshot_of_document(recorded.environment_document(), 5.0, 7.0)


@pytest.fixture
def remote() -> Snapshot:
    return snapshot_of_answer(recorded.flags(), 5.0, 7.0, "the-key")


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
    assert document_in(local) == recorded.environment_document()
    assert local.document is not None
    assert (local.document.name, local.document.project.name) == ("Production", "Shop")
    assert local.document.project.enable_realtime_updates
    assert local.answer is None


def test_what_a_snapshot_of_flags_knows(remote: Snapshot) -> None:
    assert (remote.epoch, remote.fetched_at) == (5.0, 7.0)
    assert remote.environment_id == "the-key"
    assert remote.answer == recorded.as_json(recorded.flags()).encode()
    assert remote.pages == (remote.answer,)
    assert remote.document is None
    assert remote.evaluation is None
    assert remote.targeting == set()


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


# Refreshes that bring nothing new.


def with_new_uuids(document: dict[str, Any]) -> dict[str, Any]:
    """The document as the server answers it once more."""
    for override in document["identity_overrides"]:
        override["identity_uuid"] = str(uuid.uuid4())
    return document


@pytest.mark.parametrize("edit", [dict, with_new_uuids], ids=["same bytes", "other uuids"])
def test_the_content_of_an_answer_that_brings_nothing_new_is_the_held_one(
    local: Snapshot, edit: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    again = snapshot_of_document(edit(recorded.environment_document()), 6.0, 8.0, held=local)
    assert (again.epoch, again.fetched_at) == (6.0, 8.0)
    assert again.flags is local.flags
    assert again.document is local.document
    assert again.evaluation is local.evaluation


def test_what_two_documents_have_in_common_is_decoded_once(local: Snapshot) -> None:
    document = recorded.environment_document()
    document["feature_states"][1]["feature_state_value"] = "Hi"
    after = snapshot_of_document(document, 6.0, 8.0, held=local)
    assert after.flags["banner_text"].value == "Hi"
    assert after.flags["pricing"] is local.flags["pricing"]
    assert after.document is not None
    assert local.document is not None
    assert after.document.project is local.document.project


def test_a_page_with_the_same_bytes_is_not_decoded_again(local: Snapshot) -> None:
    (body,) = local.pages
    page = first_page(bytes(bytearray(body)), local.document)
    assert page.body is body
    assert page.content is None
    assert page.updated_at == "2026-11-24T00:07:26.063340+00:00"
    further = further_page(b'{"identity_overrides": [], "updated_at": "later"}', local.document)
    assert further.content is not None
    both = snapshot_of_pages([page, further], 6.0, 8.0, held=local)
    assert both.document is local.document
    paged = snapshot_of_pages([first_page(body), further], 6.0, 8.0)
    again = [first_page(body, paged.document), further_page(further.body, paged.document)]
    assert [page.content for page in again] == [None, None]
    assert [page.updated_at for page in again] == [page.updated_at, "later"]
    assert snapshot_of_pages(again, 7.0, 9.0, held=paged).document is paged.document
    assert snapshot_of_pages(again, 7.0, 9.0).flags == local.flags


def test_a_list_of_flags_with_the_same_bytes_is_decoded_once(remote: Snapshot) -> None:
    body = json.dumps(recorded.flags()).encode()
    again = snapshot_of_flags(body, 6.0, 8.0, "the-key", held=remote)
    assert again.flags is remote.flags
    assert (again.epoch, again.fetched_at) == (6.0, 8.0)


def edited(path: str, value: object) -> dict[str, Any]:
    document = recorded.environment_document()
    container: Any = document
    *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in steps:
        container = container[step]
    container[last] = value
    return document


@pytest.mark.parametrize(
    "document",
    [
        edited("name", "Other"),
        edited("feature_states/0/enabled", 1 == 0),
        edited("project/segments/0/rules", []),
        edited("hide_sensitive_data", 1 == 1),
        edited("identity_overrides", []),
        edited("identity_overrides/0/identifier", "bob"),
        edited("identity_overrides/0/identity_features/0/enabled", 1 == 0),
    ],
)
def test_content_is_compared(local: Snapshot, document: dict[str, Any]) -> None:
    same = snapshot_of_document(with_new_uuids(recorded.environment_document()), 6.0, 8.0)
    other = snapshot_of_document(document, 5.0, 7.0)
    assert local.content_digest == same.content_digest
    assert local.content_digest != other.content_digest


def test_content_of_both_kinds_is_never_the_same(local: Snapshot, remote: Snapshot) -> None:
    other = snapshot_of_answer(recorded.flags()[:-1], 5.0, 7.0, "the-key")
    same = snapshot_of_answer(recorded.flags(), 6.0, 8.0, "the-key")
    assert remote.content_digest == same.content_digest
    assert len({remote.content_digest, other.content_digest, local.content_digest}) == 3


def test_targeted_features_are_named(local: Snapshot) -> None:
    assert local.targeting == {"new_checkout", "banner_text", "button_colour", "beta_dashboard"}


# Memory.


def test_a_document_adds_hardly_anything_for_the_garbage_collector() -> None:
    document = recorded.environment_document()
    (override,) = document["identity_overrides"]
    document["identity_overrides"] = [
        {**override, "identifier": f"user {number}"} for number in range(5000)
    ]
    body = json.dumps(document).encode()
    gc.collect()
    before = len(gc.get_objects())
    snapshot = snapshot_of_pages([first_page(body)], 5.0, 7.0)
    assert len(gc.get_objects()) - before < 200
    assert snapshot.targeting
