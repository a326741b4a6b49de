"""Clients of an API, and errors that must hold no secret."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flask_flagsmith_realtime.client import API
from flask_flagsmith_realtime.exceptions import FetchError
from tests.support.misbehaving import MisbehavingFlagsmith

MakeAPI = Callable[..., API]


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
