"""Calls of the emulator's API."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

import requests

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.waiting import PATIENCE_SECONDS


def call(
    emulator: Emulator, path: str, *, key: str | None = None, **arguments: Any
) -> requests.Response:
    """Call the API, with the server-side key if none is given."""
    headers = {"X-Environment-Key": key or emulator.server_side_key, **arguments.pop("headers", {})}
    method = arguments.pop("method", "POST" if "json" in arguments else "GET")
    url = urljoin(emulator.api_url, path)
    return requests.request(method, url, headers=headers, timeout=PATIENCE_SECONDS, **arguments)


def identify(emulator: Emulator, key: str | None = None, **body: Any) -> requests.Response:
    return call(emulator, "identities/", key=key, json=body)


def trait(name: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"trait_key": name, "trait_value": value, **more}


def stored_traits(emulator: Emulator, identifier: str) -> dict[str, Any]:
    answer = call(emulator, "identities/", params={"identifier": identifier}).json()
    return {t["trait_key"]: t["trait_value"] for t in answer["traits"]}
