"""Archives: packing, and the checks of unpacking."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_flagsmith_realtime.exceptions import InvalidDocumentError
from flask_flagsmith_realtime.model import Snapshot, first_page, further_page, snapshot_of_pages
from flask_flagsmith_realtime.storage.archive import (
    MAX_ARCHIVE_BYTES,
    environment_digest,
    pack,
    unpack,
)
from tests.support import recorded
from tests.support.snapshots import snapshot_of_answer, snapshot_of_document

SERVER_KEY = "ser.c2VjcmV0"
CLIENT_KEY = "AbCdEf"
KEYS = [SERVER_KEY, CLIENT_KEY]


def snapshot(key: str, epoch: float | None = 5.5) -> Snapshot:
    if key == SERVER_KEY:
        return snapshot_of_document(recorded.environment_document(), epoch, 7.5)
    return snapshot_of_answer(recorded.flags(), epoch, 7.5, key)


def altered(key: str, *pages: Any, **members: Any) -> bytes:
    """An archive with other members, or other pages."""
    head, _, body = pack(snapshot(key), key).partition(b"\n")
    parts = [json.dumps(page).encode() for page in pages] or [body]
    lengths = {"pages": [len(part) for part in parts]}
    line = json.dumps({**json.loads(head), **lengths, **members}).encode()
    return b"\n".join([line, b"".join(parts)])


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("epoch", [5.5, 1795478846.06334, 0.0, None])
def test_what_is_packed_is_unpacked(key: str, epoch: float | None) -> None:
    before = snapshot(key, epoch)
    after = unpack(pack(before, key), key)
    assert after.flags == before.flags
    assert (after.epoch, after.fetched_at) == (epoch, 7.5)
    assert after.environment_id == before.environment_id
    assert after.pages == before.pages
    assert after.targeting == before.targeting
    assert (after.evaluation is None) is (key == CLIENT_KEY)


@pytest.mark.parametrize("key", KEYS)
def test_what_is_held_is_not_decoded_again(key: str) -> None:
    held = snapshot(key)
    again = unpack(pack(held, key), key, held)
    assert again.flags is held.flags
    assert again.document is held.document


@pytest.mark.parametrize("key", KEYS)
def test_an_archive_names_its_environment_by_a_digest(key: str) -> None:
    data = pack(snapshot(key), key)
    archive = json.loads(data.partition(b"\n")[0])
    members = {"format", "environment", "epoch", "fetched_at", "announced", "pages"}
    assert archive.keys() == members
    assert archive["environment"] == environment_digest(key)
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


def test_the_answer_is_kept_as_it_came() -> None:
    pages = [
        b' {"api_key": "id", "name": "\xc3\xa4",\n "feature_states": [], "new": 1e2,'
        b' "project": {"segments": []}}',
        b'{"identity_overrides" : [ ]}',
    ]
    snapshot = snapshot_of_pages([first_page(pages[0]), further_page(pages[1])], 5.5, 7.5)
    assert unpack(pack(snapshot, SERVER_KEY), SERVER_KEY).pages == tuple(pages)


def large_snapshot() -> Snapshot:
    document = recorded.environment_document()
    (override,) = document["identity_overrides"]
    document["identity_overrides"] = [
        {**override, "identifier": f"user {number}", "identity_uuid": str(uuid.uuid4())}
        for number in range(1000)
    ]
    return snapshot_of_document(document, 5.5, 7.5)


def test_a_large_archive_is_compressed() -> None:
    before = large_snapshot()
    data = pack(before, SERVER_KEY)
    assert len(data) < 0.2 * sum(map(len, before.pages))
    assert unpack(data, SERVER_KEY).pages == before.pages


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"}",
        lambda data: data[:1000] + b"damage" + data[1006:],
        lambda data: gzip.compress(altered(SERVER_KEY) + bytes(MAX_ARCHIVE_BYTES)),
    ],
    ids=["cut off", "longer", "changed", "too large"],
)
def test_a_compressed_archive_that_is_damaged_is_refused(damage: Callable[[bytes], bytes]) -> None:
    data = damage(pack(large_snapshot(), SERVER_KEY))
    with pytest.raises(InvalidDocumentError, match="it is damaged"):
        unpack(data, SERVER_KEY)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"format": 1}, "another version of flask-flagsmith-realtime"),
        ({"format": None}, "it is not a snapshot"),
        ({"environment": environment_digest("ser.other")}, "it belongs to another environment key"),
        ({"environment": None}, "it belongs to another environment key"),
        ({"epoch": "5"}, r"\$.epoch: Expected `float \| null`, got `str`"),
        ({"epoch": True}, r"\$.epoch: Expected `float \| null`, got `bool`"),
        ({"epoch": -5}, r"\$.epoch: Expected `float` >= 0"),
        ({"epoch": 10**400}, r"\$.epoch: Number out of range"),
        ({"epoch": float("nan")}, "it is not JSON"),
        ({"epoch": float("inf")}, "it is not JSON"),
        ({"fetched_at": None}, r"\$.fetched_at: Expected `float`, got `null`"),
        ({"pages": None}, r"\$.pages: Expected `array`, got `null`"),
        ({"pages": []}, "it does not hold the pages of an answer"),
        ({"pages": [-1]}, r"\$.pages\[0\]: Expected `int` >= 1"),
        ({"pages": [10]}, "it is damaged"),
    ],
)
def test_what_is_refused_and_why(members: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidDocumentError, match=reason):
        unpack(altered(SERVER_KEY, **members), SERVER_KEY)


def test_content_is_checked_like_an_answer_of_the_api() -> None:
    document = recorded.environment_document()
    document["feature_states"][0]["enabled"] = "yes"
    with pytest.raises(
        InvalidDocumentError, match=r"\$.feature_states\[0\].enabled: Expected `bool`"
    ):
        unpack(altered(SERVER_KEY, document), SERVER_KEY)
    with pytest.raises(InvalidDocumentError, match=r"\$: Expected `array`, got `object`"):
        unpack(altered(CLIENT_KEY, document), CLIENT_KEY)
    with pytest.raises(InvalidDocumentError, match="it does not hold the pages of an answer"):
        unpack(altered(CLIENT_KEY, [], []), CLIENT_KEY)


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
    if unpacked.evaluation is not None:
        identity = unpacked.evaluation.identity("bob", {"plan": "pro"})
        unpacked.evaluation.evaluate_all(identity, {})


@given(st.binary(max_size=64))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidDocumentError):
        unpack(data, SERVER_KEY)
