"""The emulator answers as a real Flagsmith did: every recorded exchange, field by field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.paths import RECORDINGS
from tests.support.waiting import PATIENCE_SECONDS

SERVER_SIDE_KEY = "ser.SERVER_SIDE_KEY"
HEADERS = (
    "Content-Type",
    "X-Flagsmith-Document-Updated-At",
    "Last-Modified",
    "Location",
    "Vary",
    "Allow",
    "Cache-Control",
    "Link",
    "Access-Control-Allow-Origin",
    "Access-Control-Expose-Headers",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Methods",
    "Access-Control-Max-Age",
)

#: The variants of these depend on a hash of the environment's key, which was replaced.
SPLIT = ("banner_text", "button_colour")

#: Exchanges that the emulator does not repeat, by the beginning of their names, and why.
LEFT_OUT = {
    "admin: ": "the emulator has no admin API",
    "webhook ": "a request that Flagsmith sends, not one that it answers",
}

#: What the recording cut off or replaced in a request, by the name of the exchange.
RESTORED: dict[str, dict[str, Any]] = {
    'identity {"identifier": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx... (2019 characters)': {
        "json": {"identifier": "x" * 2001}
    },
    'identity {"identifier": "x", "traits": [{"trait_key": "k", "trait_val... (2071 characters)': {
        "json": {"identifier": "x", "traits": [{"trait_key": "k", "trait_value": "y" * 2001}]}
    },
    "bad key": {"headers": {"X-Environment-Key": "nonsense"}},
    "bad server key": {"headers": {"X-Environment-Key": "ser.nonsense"}},
}


@cache
def exchanges(file: str) -> list[dict[str, Any]]:
    """The exchanges of a recording."""
    recorded: list[dict[str, Any]] = json.loads((RECORDINGS / file).read_text("utf-8"))
    return recorded


def repeated(file: str) -> list[dict[str, Any]]:
    """The exchanges of a recording that the emulator repeats."""
    return [e for e in exchanges(file) if not e["name"].startswith(tuple(LEFT_OUT))]


def body_of(file: str, name: str) -> Any:
    """A fresh copy of a recorded body."""
    exchange = next(e for e in exchanges(file) if e["name"] == name)
    return json.loads(json.dumps(exchange["response"]["body"]))


FIRST = "flagsmith-2.68-exchanges.json"
ODD = "flagsmith-2.265-odd.json"
LATER = (
    "environment document with an identity's override of a split",
    "the identity with that override: blue",
)


@pytest.fixture
def first() -> Iterator[Emulator]:
    """An emulator of the server of the first recording."""
    document = body_of(FIRST, "environment document")
    with Emulator(document=document, server_side_key=SERVER_SIDE_KEY) as emulator:
        yield emulator


def odd_emulator(exchange: dict[str, Any]) -> Emulator:
    """An emulator of the server of the odd exchanges, at the time of this one.

    The document was recorded with the last two; two values were changed and identities had stored
    traits before.
    """
    document = body_of(ODD, LATER[0])
    if exchange["name"] not in LATER:
        document["updated_at"] = "2026-11-26T19:35:01.912143+00:00"
        values = {"max_items": "1795720977297091011", "pricing": '{"basic": 426}'}
        for state in document["feature_states"]:
            name = state["feature"]["name"]
            state["feature_state_value"] = values.get(name, state["feature_state_value"])
    emulator = Emulator(document=document, server_side_key=SERVER_SIDE_KEY)
    emulator.set_traits("x", k="{'a': 1}", dup=2)
    emulator.set_traits("bob", plan="pro")
    return emulator


@pytest.mark.parametrize("exchange", repeated(FIRST), ids=lambda exchange: exchange["name"])
def test_an_exchange_is_as_recorded(first: Emulator, exchange: dict[str, Any]) -> None:
    check(exchange, send(first, exchange))


@pytest.mark.parametrize("exchange", repeated(ODD), ids=lambda exchange: exchange["name"])
def test_an_odd_exchange_is_as_recorded(exchange: dict[str, Any]) -> None:
    with odd_emulator(exchange) as emulator:
        check(exchange, send(emulator, exchange))


def test_every_kind_of_exchange_is_recorded() -> None:
    paths = {e["request"]["path"].partition("?")[0] for e in repeated(FIRST) + repeated(ODD)}

    assert paths == {
        "/api/v1/analytics/flags/",
        "/api/v1/environment-document/",
        "/api/v1/flags",
        "/api/v1/flags/",
        "/api/v1/flags/4/multivariate-options/",
        "/api/v1/identities/",
        "/api/v1/identities/bob/",
        "/api/v1/traits/",
        "/api/v1/traits/bulk/",
        "/api/v2/analytics/flags/",
    }


def send(emulator: Emulator, exchange: dict[str, Any]) -> requests.Response:
    """Send the request of an exchange."""
    request = exchange["request"] | RESTORED.get(exchange["name"], {})
    content = request["json"]
    as_json = "Content-Type" not in request["headers"]
    return requests.request(
        request["method"],
        urljoin(emulator.url, request["path"]),
        headers=request["headers"],
        json=content if as_json else None,
        data=None if as_json else content,
        allow_redirects=False,
        timeout=PATIENCE_SECONDS,
    )


def check(exchange: dict[str, Any], answer: requests.Response) -> None:
    """Compare an answer with the recorded one."""
    request, wanted = exchange["request"], exchange["response"]
    assert answer.status_code == wanted["status"]
    assert {name: answer.headers.get(name) for name in HEADERS} == {
        name: wanted["headers"].get(name) for name in HEADERS
    }
    if answer.headers.get("Content-Type") != "application/json":
        assert answer.text == wanted["body"]
    elif isinstance(wanted["body"], dict) and "flags" in wanted["body"]:
        known = "identifier" in json.dumps(request) or request["path"].endswith("/bob/")
        compare_identities(answer.json(), wanted["body"], known=known)
    else:
        compare(answer.json(), wanted["body"])


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
    elif name not in ("default_enabled", "initial_value"):  # the emulator has no history
        assert got == wanted, name


def compare_identities(got: dict[str, Any], wanted: dict[str, Any], *, known: bool) -> None:
    """Compare two answers to a request for an identity."""
    assert list(got) == list(wanted)
    if known:
        assert got.get("identifier") == wanted.get("identifier")
    else:
        assert re.fullmatch("[0-9a-f]{32}", got["identifier"])
    for member in wanted.keys() - {"identifier", "traits", "flags"}:
        compare(got[member], wanted[member])
    # The ids of traits depend on how many the server's database ever held.
    compare(without_ids(got["traits"]), without_ids(wanted["traits"]))
    assert len(got["flags"]) == len(wanted["flags"])
    for flag, other in zip(got["flags"], wanted["flags"], strict=True):
        if other["feature"]["name"] in SPLIT and other["identity"] is None:
            seen = seen_flags(other["feature"]["name"], tuple(other))
            assert any(is_like(flag, one) for one in seen)
        else:
            compare(flag, other)


def without_ids(traits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Traits with the type of the id in its place."""
    return [trait | {"id": type(trait["id"]).__name__} for trait in traits]


def is_like(flag: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two flags are equal, but for the value if both have a variant's."""
    try:
        compare(flag | {"feature_state_value": None}, other | {"feature_state_value": None})
    except AssertionError:
        return False
    values = {flag["feature_state_value"], other["feature_state_value"]}
    return len(values) == 1 or values == {"red", "blue"}


@cache
def seen_flags(name: str, members: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the flags that the server served for a feature, with these members."""
    bodies = [e["response"]["body"] for e in repeated(FIRST) + repeated(ODD)]
    flags = [
        flag
        for body in bodies
        if isinstance(body, dict)
        for flag in body.get("flags", [])
        if flag["feature"]["name"] == name
    ]
    return [{member: flag[member] for member in members} for flag in flags if "variant" in flag]
