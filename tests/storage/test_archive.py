"""Archives: what is packed, and what is unpacked at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_flagsmith_realtime.exceptions import InvalidDocumentError
from flask_flagsmith_realtime.model.snapshot import (
    Snapshot,
    snapshot_of_document,
    snapshot_of_flags,
)
from flask_flagsmith_realtime.storage.archive import environment_digest, pack, unpack
from tests.support import recorded

SERVER_KEY = "ser.c2VjcmV0"
CLIENT_KEY = "AbCdEf"
KEYS = [SERVER_KEY, CLIENT_KEY]


def snapshot(key: str, epoch: float | None = 5.5) -> Snapshot:
    if key == SERVER_KEY:
        return snapshot_of_document(recorded.environment_document(), epoch, 7.5)
    return snapshot_of_flags(recorded.flags(), epoch, 7.5, key)


def altered(key: str, **members: Any) -> bytes:
    return json.dumps({**json.loads(pack(snapshot(key), key)), **members}).encode()


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("epoch", [5.5, 1795478846.06334, 0.0, None])
def test_what_is_packed_is_unpacked(key: str, epoch: float | None) -> None:
    before = snapshot(key, epoch)
    after = unpack(pack(before, key), key)
    assert after.flags == before.flags
    assert (after.epoch, after.fetched_at) == (epoch, 7.5)
    assert after.environment_id == before.environment_id
    assert (after.document, after.answer) == (before.document, before.answer)
    assert after.targeting == before.targeting
    assert (after.evaluator is None) is (key == CLIENT_KEY)


@pytest.mark.parametrize("key", KEYS)
def test_an_archive_names_its_environment_by_a_digest(key: str) -> None:
    data = pack(snapshot(key), key)
    archive = json.loads(data)
    assert archive.keys() == {"format", "environment", "kind", "epoch", "fetched_at", "content"}
    assert archive["environment"] == environment_digest(key)
    assert archive["kind"] == ("environment-document" if key == SERVER_KEY else "flags")
    assert key.encode() not in data


def test_digests_differ() -> None:
    assert environment_digest("a") != environment_digest("b")
    assert environment_digest("a") == environment_digest("a")
    assert len(environment_digest("a")) == 64


@pytest.mark.parametrize("key", [SERVER_KEY, 'ser."quoted\\'])
def test_a_server_side_key_is_not_packed(key: str) -> None:
    document = recorded.environment_document()
    document["project"]["name"] = f"The key is {key}!"
    with pytest.raises(ValueError, match="holds the server-side key itself") as refused:
        pack(snapshot_of_document(document, 5.5, 7.5), key)
    assert key not in str(refused.value)


def test_what_is_nested_without_end_is_not_packed() -> None:
    document = recorded.environment_document()
    for _ in range(100_000):
        document["new"] = [document.get("new")]
    with pytest.raises(ValueError, match="nested too deeply"):
        pack(snapshot_of_document(document, 5.5, 7.5), SERVER_KEY)
    while document["new"]:  # Freed level by level, or not at all.
        document["new"] = document["new"].pop()


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"format": 2}, "another version of flask-flagsmith-realtime"),
        ({"format": None}, "it is not a snapshot"),
        ({"environment": environment_digest("ser.other")}, "it belongs to another environment key"),
        ({"environment": None}, "it belongs to another environment key"),
        ({"kind": "flags"}, "its kind does not go with the kind of the environment key"),
        ({"kind": "other"}, "its kind does not go with the kind of the environment key"),
        ({"epoch": "5"}, "its epoch is not a moment in seconds"),
        ({"epoch": True}, "its epoch is not a moment in seconds"),
        ({"epoch": -5}, "its epoch is not a moment in seconds"),
        ({"epoch": 10**400}, "its epoch is not a moment in seconds"),
        ({"epoch": float("nan")}, "it is not JSON"),
        ({"epoch": float("inf")}, "it is not JSON"),
        ({"fetched_at": None}, "its fetched_at is not a moment in seconds"),
        ({"content": None}, "the document should be an object, but is missing or null"),
        ({"content": {}}, "api_key should be text, but is missing or null"),
    ],
)
def test_what_is_refused_and_why(members: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidDocumentError, match=reason):
        unpack(altered(SERVER_KEY, **members), SERVER_KEY)


def test_content_is_checked_like_an_answer_of_the_api() -> None:
    document = recorded.environment_document()
    document["feature_states"][0]["enabled"] = "yes"
    with pytest.raises(InvalidDocumentError, match=r"feature_states\[0\].enabled should be true"):
        unpack(altered(SERVER_KEY, content=document), SERVER_KEY)
    with pytest.raises(InvalidDocumentError, match="the list of flags should be a list"):
        unpack(altered(CLIENT_KEY, content=document), CLIENT_KEY)


@pytest.mark.parametrize("key", KEYS)
def test_whole_and_only_whole(key: str) -> None:
    data = pack(snapshot(key), key)
    for length in range(len(data)):
        with pytest.raises(InvalidDocumentError):
            unpack(data[:length], key)
    with pytest.raises(InvalidDocumentError):
        unpack(data + b"}", key)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KEYS), st.data())
def test_damaged_bytes_are_refused_or_harmless(key: str, data: st.DataObject) -> None:
    packed = bytearray(pack(snapshot(key), key))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        unpacked = unpack(bytes(packed), key)
    except InvalidDocumentError:
        return
    if unpacked.evaluator is not None:
        unpacked.evaluator.get_identity_flags("bob", {"plan": "pro"}).all_flags()


@given(st.binary(max_size=64))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidDocumentError):
        unpack(data, SERVER_KEY)
