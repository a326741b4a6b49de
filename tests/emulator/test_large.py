"""A large environment: the work for a change does not grow with what the change leaves alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.emulator import document as documents
from tests.support import recorded
from tests.support.waiting import PATIENCE_SECONDS

FEATURES, IDENTITIES = 200, 2000


@pytest.fixture(scope="module")
def large() -> Iterator[Emulator]:
    """An emulator with many features, and an override for each of many identities."""
    document = recorded.environment_document()
    for number in range(FEATURES):
        state = documents.new_state(document, documents.new_feature(document, f"feature_{number}"))
        document["feature_states"].append(state)
    state = document["feature_states"][-1]
    for number in range(IDENTITIES):
        identity = documents.new_identity({**document, "identity_overrides": []}, f"user {number}")
        identity |= {"django_id": 1000 + number, "identity_features": [dict(state, enabled=True)]}
        document["identity_overrides"].append(identity)
    with Emulator(document=document) as emulator:
        yield emulator


def fetch(emulator: Emulator) -> requests.Response:
    return requests.get(
        emulator.api_url + "environment-document/",
        headers={"X-Environment-Key": emulator.server_side_key},
        timeout=PATIENCE_SECONDS,
    )


def test_versions_share_the_overrides_that_did_not_change(large: Emulator) -> None:
    before = large.document["identity_overrides"]
    large.set_flag("feature_1", value="changed")
    large.override_identity("user 7", "feature_1", value="mine")
    after = large.document["identity_overrides"]

    changed = [new["identifier"] for old, new in zip(before, after, strict=True) if new is not old]
    assert changed == ["user 7"]


def test_the_served_document_is_the_state(large: Emulator) -> None:
    large.set_traits("user 8", plan="pro")
    served = fetch(large).json()

    assert list(served) == list(large.document)
    assert served["feature_states"] == large.document["feature_states"]
    assert served["identity_overrides"] == [
        entry | {"identity_traits": []} for entry in large.document["identity_overrides"]
    ]


def test_a_document_is_serialized_once(large: Emulator) -> None:
    environment = large._state.environment

    assert environment.served_document is environment.served_document
    assert fetch(large).content == environment.served_document


def test_the_page_shows_what_matters(large: Emulator) -> None:
    page = requests.get(large.url, timeout=PATIENCE_SECONDS).text

    assert '<datalist id="feature-names">' in page
    assert "more from the environment" in page
    assert len(page) < 2_000_000
