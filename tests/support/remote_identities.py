"""Reads and calls of identities in remote evaluation."""

from __future__ import annotations

import json
from typing import Any

from flask import Flask

from flask_flagsmith_realtime import (
    Identity,
    flags,
)
from tests.support.misbehaving import MisbehavingFlagsmith

ALICE = Identity("alice@example.com")


def bodies(flagsmith: MisbehavingFlagsmith) -> list[Any]:
    """Return the bodies of all calls of ``identities/``."""
    return [json.loads(call.body) for call in flagsmith.identities.requests]


def read(app: Flask, identity: Identity = ALICE, feature: str = "banner_text") -> Any:
    """Return the value that one request reads."""
    with app.app_context():
        return flags.for_identity(identity)[feature].value


def mark(answer: Any) -> None:
    """Give all flags a value that only ``identities/`` answers."""
    for flag in answer["flags"]:
        flag["feature_state_value"] = "marked"
