"""The recorded answers of a real Flagsmith. Each call returns a new copy."""

from __future__ import annotations

import json
from typing import Any

from tests.support.paths import RECORDINGS

_TEXT = (RECORDINGS / "flagsmith-2.68-exchanges.json").read_text()


def exchange(name: str) -> dict[str, Any]:
    """Return the request and the response of an exchange."""
    exchanges: list[dict[str, Any]] = json.loads(_TEXT)
    return next(exchange for exchange in exchanges if exchange["name"] == name)


def environment_document() -> dict[str, Any]:
    """Return the recorded environment document."""
    document: dict[str, Any] = exchange("environment document")["response"]["body"]
    return document


def flags() -> list[dict[str, Any]]:
    """Return the recorded list of flags."""
    answer: list[dict[str, Any]] = exchange("flags")["response"]["body"]
    return answer


def as_json(content: Any) -> str:
    """Serialize content."""
    return json.dumps(content)
