"""The app that gunicorns serve as members of a fleet. Each process writes a journal of its flags.

``MEMBER_JOURNAL`` names the file: a line of JSON each time that flags come in. ``MEMBER_PACE`` has
the fleet's times, if they are to be shorter than the real ones.
"""

from __future__ import annotations

import json
import os
from typing import Any

from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, flags_changed, snapshot_refreshed
from flask_flagsmith_realtime.engine import schedule
from flask_flagsmith_realtime.fleet import FleetMember, redis_store
from flask_flagsmith_realtime.fleet.election import FleetTimings
from tests.support.waiting import PATIENCE_SECONDS

FleetMember.timings = FleetTimings(**json.loads(os.environ.get("MEMBER_PACE", "{}")))
# A greeting that comes late would cost a call.
schedule.GREETING_SECONDS = PATIENCE_SECONDS
# Many members start at once: Redis may take long for its first answers.
redis_store._FIRST_ANSWERS_SECONDS = PATIENCE_SECONDS
flagsmith = FlagsmithRealtime()


def create_app() -> Flask:
    app = Flask("member")
    app.config.from_prefixed_env()
    snapshot_refreshed.connect(_refreshed, sender=app)
    flags_changed.connect(_changed, sender=app)
    flagsmith.init_app(app)
    if "FLAGSMITH_WEBHOOK_SECRET" in app.config:
        app.register_blueprint(flagsmith.webhook)

    @app.get("/")
    def state() -> dict[str, Any]:
        return {"pid": os.getpid(), "leader": flagsmith.status.leader}

    return app


def _refreshed(app: Flask, snapshot: Any, **_: Any) -> None:
    _write("serves", banner=snapshot.flags["banner_text"].value)


def _changed(app: Flask, snapshot: Any, leader: bool, **_: Any) -> None:
    _write("changed", banner=snapshot.flags["banner_text"].value, leader=leader)


def _write(what: str, **more: Any) -> None:
    line = json.dumps({"pid": os.getpid(), "what": what, **more}) + "\n"
    # One write in append mode: the lines of several processes do not mix.
    descriptor = os.open(os.environ["MEMBER_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
