"""The doctor's findings about an app."""

from __future__ import annotations

import json
from typing import Any

from click.testing import Result
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime

Found = dict[str, Any]


def app_with(settings: dict[str, Any], **more: Any) -> Flask:
    app = Flask("shop")
    app.config.update(settings, FLAGSMITH_AUTOSTART=False)
    app.config.update({f"FLAGSMITH_{name}": value for name, value in more.items()})
    FlagsmithRealtime(app)
    return app


def examine(app: Flask) -> Result:
    return app.test_cli_runner().invoke(args=["flagsmith", "doctor"])


def findings(app: Flask) -> list[Found]:
    result = app.test_cli_runner().invoke(args=["flagsmith", "doctor", "--json"])
    found: list[Found] = json.loads(result.stdout)
    assert result.exit_code == any(finding["level"] == "failed" for finding in found)
    return found


def find(app: Flask, check: str) -> Found:
    return next(finding for finding in findings(app) if finding["check"] == check)
