"""Probes for whoever runs the app: is this process alive, and does it have flags to serve?

They look at what is there. They start nothing, wait for nothing, read no flag and tell no secret.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint
from werkzeug.wrappers import Response

from .monitoring import Status


def make_blueprint(status: Callable[[], Status]) -> Blueprint:
    """Make the blueprint.

    :param status: tells how well the app is supplied with flags.
    """
    blueprint = Blueprint("flagsmith_health", __name__, url_prefix="/flagsmith/health")

    @blueprint.get("/live")
    def live() -> dict[str, Any]:
        # It says nothing of Flagsmith: to restart a process because Flagsmith is away helps nobody.
        return {"status": "ok"}

    @blueprint.get("/ready")
    def ready() -> tuple[dict[str, Any], int]:
        now = status()
        is_ready, reason = judge(now)
        content = {
            "status": "ready" if is_ready else "not ready",
            "state": now.state,
            "reason": reason,
            "epoch": now.epoch,
            "age_seconds": now.age_seconds,
        }
        return content, 200 if is_ready else 503

    @blueprint.after_request
    def forbid_storing(response: Response) -> Response:
        response.cache_control.no_store = True
        return response

    return blueprint


def judge(status: Status) -> tuple[bool, str | None]:
    """Whether a process should be sent requests, and what there is to say about that.

    Stale flags are no reason to take it out: they are the last good ones, and if Flagsmith is away,
    then for all processes at the same time.
    """
    if status.state == "stale":
        return True, "The flags may be older than they should be. The last good ones serve."
    if status.state != "starting":
        return True, None
    if not status.running:
        # Nobody would ever read one if it had to be ready before.
        return True, "Fetching begins when the first flag is read."
    return False, "Flagsmith has not answered yet, and no earlier flags are known. Defaults serve."
