"""Offline apps that serve the recorded environment document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, Identity
from tests.support import recorded

#: Who gets which variant goes by a hash of the environment's key, which was replaced in the
#: recordings. By this one, the recorded identities get what they got by the server's own.
STAND_IN_KEY = "STAND_IN_48"

BOB = Identity("bob@example.com", {"plan": "pro", "age": 37})


def recorded_document() -> Any:
    """Return the recorded environment document."""
    return {**recorded.environment_document(), "api_key": STAND_IN_KEY}


def make_offline_app(flagsmith: FlagsmithRealtime, folder: Path, document: Any) -> Flask:
    """Make an app that serves a document, without a network."""
    path = folder / "environment.json"
    path.write_text(json.dumps(document))
    app = Flask("shop")
    app.config["FLAGSMITH_OFFLINE_FILE"] = path
    flagsmith.init_app(app)
    return app
