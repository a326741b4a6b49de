"""Probes for orchestrators and load balancers: liveness and readiness of this process.

The views read the status alone: they start nothing, wait for nothing and return no secret.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, current_app
from werkzeug.wrappers import Response

from .app_state import state_of
from .monitoring import Status


def make_blueprint() -> Blueprint:
    """Returns the blueprint, which serves any app that has the extension."""
    blueprint = Blueprint("flagsmith_health", __name__, url_prefix="/flagsmith/health")

    @blueprint.get("/live")
    def live() -> dict[str, Any]:
        # Flagsmith plays no part here: a restart of the process does not end its outage.
        return {"status": "ok"}

    @blueprint.get("/ready")
    def ready() -> tuple[dict[str, Any], int]:
        now = state_of(current_app).engine.status()
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
    """Decides if a process should receive requests.

    A process with stale flags stays ready: it serves the last good ones, and an outage of Flagsmith
    reaches all processes at the same time.

    :returns: the decision, and its reason if there is one to report.
    """
    if status.state == "stale":
        return True, "The flags may be older than they should be. The last good ones serve."
    if status.state != "starting":
        return True, None
    if not status.running:
        # The first read starts the engine, and only a ready process receives requests that read.
        return True, "Fetching begins when the first flag is read."
    return False, "Flagsmith has not answered yet, and no earlier flags are known. Defaults serve."
