"""The app that the servers under test serve. It reports the state of the process that answers."""

from __future__ import annotations

import os
import threading
from typing import Any

from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, flags, flags_changed
from flask_flagsmith_realtime.engine import schedule
from flask_flagsmith_realtime.reporting import reporter
from tests.support.waiting import PATIENCE_SECONDS

# A greeting that comes late would cost a call.
schedule.GREETING_SECONDS = PATIENCE_SECONDS
# The last report is posted, however long it takes.
reporter._FAREWELL_SECONDS = PATIENCE_SECONDS
flagsmith = FlagsmithRealtime()
#: The number of `flags_changed` signals that this process has received.
changes_received = [0]


def create_app() -> Flask:
    """Make the app; its settings come from the environment."""
    app = Flask("served")
    app.config.from_prefixed_env()
    flagsmith.init_app(app)
    flags_changed.connect(_count, sender=app)

    @app.get("/")
    def state() -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "banner": flags.get_feature_value("banner_text"),
            "changes": changes_received[0],
            "threads": sorted(thread.name for thread in threading.enumerate()),
            "descriptors": len(os.listdir("/proc/self/fd")),
        }

    @app.get("/no-flags")
    def no_flags() -> dict[str, Any]:
        return {"pid": os.getpid(), "changes": changes_received[0]}

    @app.cli.command("show-banner")
    def show_banner() -> None:
        print(flags["banner_text"].value)

    return app


def _count(app: Flask, **_: Any) -> None:
    changes_received[0] += 1
