"""Fixtures of the tests of the blueprint for browsers."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.browser_api import Shop


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A Flagsmith with the feature ``pricing`` for server-side keys only."""
    document = copy.deepcopy(Emulator().document)
    document["project"]["server_key_only_feature_ids"] = [
        state["feature"]["id"]
        for state in document["feature_states"]
        if state["feature"]["name"] == "pricing"
    ]
    with Emulator(document=document) as running:
        yield running


@pytest.fixture
def shop(emulator: Emulator) -> Iterator[Shop]:
    """An app with the blueprint."""
    running = Shop(emulator)
    yield running
    running.close()
