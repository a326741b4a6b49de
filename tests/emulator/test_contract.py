"""The emulator answers as a real Flagsmith did: every recorded exchange, field by field."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from flask_flagsmith_realtime.emulator import Emulator
from tests.support import recorded

EXCHANGES = json.loads(recorded._TEXT)
HEADERS = (
    "Content-Type",
    "X-Flagsmith-Document-Updated-At",
    "Last-Modified",
    "Vary",
    "Allow",
    "Cache-Control",
    "Link",
)

# Who gets which of these goes by a hash of the environment's key, which was replaced.
SPLIT = ("banner_text", "button_colour")


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange["name"])
def test_an_exchange_is_as_recorded(exchange: dict[str, Any]) -> None:
    request, wanted = exchange["request"], exchange["response"]
    document, key = recorded.environment_document(), "ser.SERVER_SIDE_KEY"
    with Emulator(document=document, server_side_key=key) as emulator:
        answer = requests.request(
            request["method"],
            urljoin(emulator.url, request["path"]),
            headers=request["headers"],
            json=request["json"],
            timeout=20,
        )
    assert answer.status_code == wanted["status"]
    assert {name: answer.headers.get(name) for name in HEADERS} == {
        name: wanted["headers"].get(name) for name in HEADERS
    }
    body = answer.json() if answer.content else ""
    if wanted["body"] and request["path"].startswith("/api/v1/identities/"):
        compare_identities(body, wanted["body"], known="identifier" in json.dumps(request))
    else:
        compare(body, wanted["body"])


def test_every_kind_of_exchange_is_recorded() -> None:
    paths = {exchange["request"]["path"].partition("?")[0] for exchange in EXCHANGES}

    assert paths == {
        "/api/v1/flags/",
        "/api/v1/identities/",
        "/api/v1/environment-document/",
        "/api/v1/analytics/flags/",
    }


def compare(got: Any, wanted: Any, name: str = "") -> None:
    """Compare two bodies, with the members that a document does not hold by type and form alone."""
    assert type(got) is type(wanted), name
    if isinstance(wanted, dict):
        assert list(got) == list(wanted), name
        for member in wanted:
            compare(got[member], wanted[member], member)
    elif isinstance(wanted, list):
        assert len(got) == len(wanted), name
        for one, other in zip(got, wanted, strict=True):
            compare(one, other, name)
    elif name == "created_date" and not wanted.endswith("+00:00"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", got)
    elif name != "default_enabled":
        assert got == wanted, name


def compare_identities(got: dict[str, Any], wanted: dict[str, Any], *, known: bool) -> None:
    assert list(got) == list(wanted)
    if known:
        assert got["identifier"] == wanted["identifier"]
    else:
        assert re.fullmatch("[0-9a-f]{32}", got["identifier"])
    compare(got["traits"], wanted["traits"])
    assert len(got["flags"]) == len(wanted["flags"])
    for flag, other in zip(got["flags"], wanted["flags"], strict=True):
        if other["feature"]["name"] in SPLIT:
            assert any(is_like(flag, seen) for seen in seen_flags(other["feature"]["name"]))
        else:
            compare(flag, other)


def is_like(flag: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two flags are equal, but for the value if both have a variant's."""
    try:
        compare(flag | {"feature_state_value": None}, other | {"feature_state_value": None})
    except AssertionError:
        return False
    values = {flag["feature_state_value"], other["feature_state_value"]}
    return len(values) == 1 or values == {"red", "blue"}


def seen_flags(name: str) -> list[dict[str, Any]]:
    """What the server gave to somebody for a feature."""
    return [
        flag
        for exchange in EXCHANGES
        if exchange["request"]["path"].startswith("/api/v1/identities/")
        for flag in exchange["response"]["body"]["flags"]
        if flag["feature"]["name"] == name
    ]
