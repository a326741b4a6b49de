"""Fixtures of the client's tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flask_flagsmith_realtime.client import API
from flask_flagsmith_realtime.config import read_config
from tests.support.apis import MakeAPI
from tests.support.misbehaving import MisbehavingFlagsmith
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
def make_api(flagsmith: MisbehavingFlagsmith) -> Iterator[MakeAPI]:
    """Makes patient clients. Settings are given without their prefix."""
    made: list[API] = []

    def make(**settings: Any) -> API:
        settings.setdefault("REQUEST_TIMEOUT_SECONDS", PATIENCE_SECONDS)
        given = {f"FLAGSMITH_{name}": value for name, value in settings.items()}
        api = API(read_config({**flagsmith.config, **given}))
        made.append(api)
        return api

    yield make
    for api in made:
        api.close()
