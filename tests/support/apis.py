"""Clients of an API, and errors that must hold no secret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from flask_flagsmith_realtime.client import API
from flask_flagsmith_realtime.exceptions import FetchError
from flask_flagsmith_realtime.model import Snapshot
from tests.support.misbehaving import MisbehavingFlagsmith
from tests.support.waiting import PATIENCE_SECONDS

MakeAPI = Callable[..., API]


def fetch_patiently(api: API) -> Snapshot:
    """Fetch, and wait longer than the settings of the client say."""
    api._config = replace(api._config, request_timeout_seconds=PATIENCE_SECONDS)
    return api.fetch()


def fetch_error(api: API) -> FetchError:
    """Fetch, and return the error, which must name the URL and hold no secret."""
    with pytest.raises(FetchError) as caught:
        api.fetch()
    message = str(caught.value)
    assert "/api/v1/" in message
    assert MisbehavingFlagsmith.server_side_key not in message
    assert MisbehavingFlagsmith.client_side_key not in message
    assert caught.value.__cause__ is None, "a cause's text may hold the key"
    return caught.value
