"""The emulator evaluates identities as a real server did: the flags of 257 recorded identities."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.paths import RECORDINGS
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def recording() -> dict[str, Any]:
    """The document, and what the server answered for it."""
    text = (RECORDINGS / "evaluation-2.265.json").read_text("utf-8")
    recorded: dict[str, Any] = json.loads(text)
    return recorded


@pytest.fixture(scope="module")
def session(recording: dict[str, Any]) -> Iterator[tuple[Emulator, requests.Session]]:
    """An emulator of the recorded environment, and a connection to it."""
    with Emulator(document=recording["document"]) as emulator, requests.Session() as session:
        session.headers["X-Environment-Key"] = emulator.server_side_key
        yield emulator, session


def plain(flags: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Flags as the recording has them; JSON text, so that 1, 1.0 and true differ."""
    return {
        flag["feature"]["name"]: [flag["enabled"], flag["feature_state_value"]] for flag in flags
    }


def test_the_environment(
    recording: dict[str, Any], session: tuple[Emulator, requests.Session]
) -> None:
    emulator, connection = session
    flags = connection.get(emulator.api_url + "flags/", timeout=PATIENCE_SECONDS).json()

    assert json.dumps(plain(flags)) == json.dumps(recording["environment"])


# Of the flag engine, where a condition compares a version.
@pytest.mark.filterwarnings("ignore:Equality comparisons between Version:DeprecationWarning")
def test_each_identity(
    recording: dict[str, Any], session: tuple[Emulator, requests.Session]
) -> None:
    emulator, connection = session
    wrong = []
    for identity in recording["identities"]:
        traits = [{"trait_key": k, "trait_value": v} for k, v in identity["traits"].items()]
        body = {"identifier": identity["identifier"], "traits": traits, "transient": True}
        answer = connection.post(
            emulator.api_url + "identities/", json=body, timeout=PATIENCE_SECONDS
        )
        if json.dumps(plain(answer.json()["flags"])) != json.dumps(identity["flags"]):
            wrong.append(identity["identifier"])

    assert wrong == []
